/** A certificate authority that an operator brings along (`SigningCACert` and `SigningCAKey` of the swarm's spec). */
import { Buffer } from "node:buffer";
import { createPrivateKey, createPublicKey } from "node:crypto";
import { DAY_MS } from "../api/duration.ts";
import { CoveyError, type FieldProblem } from "../api/errors.ts";
import type { SigningCA } from "../api/cluster.ts";
import { type CertificateInfo, readCertificates } from "./certificate.ts";
import { usageOf } from "./certificate_usage.ts";
import type { RootCA } from "./root_ca.ts";

/** How long a root that is brought along must be valid (SwarmKit): who renews it needs time to hear of it. */
const MIN_ROOT_EXPIRY_MS = 365 * DAY_MS;

const CERT = "CAConfig.SigningCACert", KEY = "CAConfig.SigningCAKey";

/** Checks in full what was brought along. Throws `invalid_argument` naming the field, in Docker's words where it has some. */
export function readSigningCA({ SigningCACert = "", SigningCAKey = "" }: SigningCA, now: number): RootCA {
  if (SigningCACert === "") {
    fail(CERT, "if a signing CA key is provided, the signing CA cert must also be provided");
  }
  const certificate = readCA(SigningCACert, now);
  if (SigningCAKey === "") {
    fail(
      KEY,
      "a signing CA cert needs its key: external certificate authorities are not available yet, and there must be " +
        "at least one valid, reachable external CA corresponding to the current CA certificate otherwise",
    );
  }
  return { certificatePEM: certificate.pem, privateKeyPEM: readKey(SigningCAKey, certificate) };
}

function readCA(pem: string, now: number): CertificateInfo {
  let certificates: CertificateInfo[];
  try {
    certificates = readCertificates(pem);
  } catch (thrown) {
    fail(CERT, `could not parse the desired CA certificate: ${CoveyError.from(thrown).message}`);
  }
  const [certificate, ...more] = certificates;
  if (certificate === undefined) fail(CERT, "could not parse the desired CA certificate: it holds no PEM");
  if (more.length > 0) fail(CERT, "the desired CA certificate cannot contain multiple certificates");
  if (!certificate.isCA) fail(CERT, "it is no certificate authority's: its basic constraints do not say CA");
  if (!usageOf(certificate.der).keyCertSign) fail(CERT, "its key may not sign certificates");
  if (now < certificate.notBefore) {
    fail(CERT, `the CA certificate is not valid before ${new Date(certificate.notBefore).toISOString()}`);
  }
  if (certificate.notAfter < now + MIN_ROOT_EXPIRY_MS) fail(CERT, "CA certificate expires too soon");
  return certificate;
}

/** As PKCS#8 in PEM, whichever way it came. */
function readKey(pem: string, certificate: CertificateInfo): string {
  try {
    const key = createPrivateKey(pem);
    const publicKey = createPublicKey(key).export({ type: "spki", format: "der" });
    if (Buffer.compare(publicKey, certificate.publicKey) === 0) {
      return key.export({ type: "pkcs8", format: "pem" }) as string;
    }
  } catch {
    // Not even its beginning goes into a message.
    fail(KEY, "could not parse the signing CA key: it must be an unencrypted PEM key");
  }
  fail(KEY, "the signing CA key does not match the signing CA certificate");
}

function fail(field: string, message: string): never {
  const problems: FieldProblem[] = [{ field, message }];
  throw CoveyError.invalid("use the swarm spec", problems);
}
