import { execFileSync } from "node:child_process";
import { Buffer } from "node:buffer";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A certificate (leaf, then root) and its key, and where `openssl` finds them. */
export interface IssuedCertificate {
  certificatePEM: string;
  privateKeyPEM: string;
  leafFile: string;
  keyFile: string;
}

/** A cluster's certificates made by the openssl program in a folder of its own; P-256, CN = node, O = cluster, OU = role. */
export class OpenSSLAuthority {
  readonly folder = mkdtempSync(join(tmpdir(), "covey-openssl-"));
  readonly rootPEM: string;
  readonly rootFile: string;
  readonly #clusterID: string;
  #made = 0;

  constructor(clusterID = "cluster1") {
    this.#clusterID = clusterID;
    this.rootFile = this.#file("root.pem");
    this.#key("root.key");
    const subject = `/CN=covey-ca/O=${clusterID}`;
    this.#run(
      "req",
      "-x509",
      "-new",
      "-key",
      this.#file("root.key"),
      "-subj",
      subject,
      "-days",
      "30",
      "-out",
      this.rootFile,
    );
    this.rootPEM = readFileSync(this.rootFile, "utf8");
  }

  /** A node's certificate. `version1` leaves all extensions out, which makes it an X.509 version 1 certificate. */
  issue(nodeID: string, role: string, options: { version1?: boolean } = {}): IssuedCertificate {
    const name = `${this.#made++}-${nodeID}`;
    const [key, request, leaf, extensions] = ["key", "csr", "pem", "ext"].map((end) =>
      this.#file(`${name}.${end}`)
    );
    this.#key(`${name}.key`);
    const subject = `/CN=${nodeID}/O=${this.#clusterID}/OU=${role}`;
    this.#run("req", "-new", "-key", key!, "-subj", subject, "-out", request!);
    const purpose = "extendedKeyUsage=serverAuth,clientAuth";
    writeFileSync(
      extensions!,
      `basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n${purpose}\n`,
    );
    const authority = ["-CA", this.rootFile, "-CAkey", this.#file("root.key"), "-CAcreateserial"];
    const version = options.version1 ? [] : ["-extfile", extensions!];
    this.#run("x509", "-req", "-in", request!, ...authority, "-days", "30", ...version, "-out", leaf!);
    return {
      certificatePEM: readFileSync(leaf!, "utf8") + this.rootPEM,
      privateKeyPEM: this.#run("pkcs8", "-topk8", "-nocrypt", "-in", key!),
      leafFile: leaf!,
      keyFile: key!,
    };
  }

  /**
   * A key file that openssl takes for `victim`'s because it states the victim's public point, but that signs with another
   * private number: what somebody has who holds only a copy of the certificate.
   */
  forgedKey(victim: IssuedCertificate): string {
    const own = this.issue("forger", "swarm-worker");
    const forged = derOf(readFileSync(own.keyFile, "utf8"));
    const POINT_BYTES = 65;
    derOf(readFileSync(victim.keyFile, "utf8")).subarray(-POINT_BYTES).copy(
      forged,
      forged.length - POINT_BYTES,
    );
    const file = this.#file(`forged-${this.#made}.key`);
    const base64 = forged.toString("base64").match(/.{1,64}/g)!.join("\n");
    writeFileSync(file, `-----BEGIN EC PRIVATE KEY-----\n${base64}\n-----END EC PRIVATE KEY-----\n`);
    return file;
  }

  /** Deletes the folder. */
  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true });
  }

  #file(name: string): string {
    return join(this.folder, name);
  }

  #key(name: string): void {
    this.#run("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", this.#file(name));
  }

  #run(...args: string[]): string {
    return execFileSync("openssl", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  }
}

function derOf(pem: string): Buffer {
  return Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ""), "base64");
}
