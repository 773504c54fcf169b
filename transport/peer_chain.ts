import { Buffer } from "node:buffer";
import type { DetailedPeerCertificate, TLSSocket } from "node:tls";
import { CoveyError } from "../api/errors.ts";
import { MAX_CHAIN_CERTIFICATES } from "./limits.ts";

const SEQUENCE = 0x30;
const EXPLICIT_VERSION = 0xa0;
const VERSION_3 = 2;

/** Where the contents of the DER element at `at` start; undefined if it is not of type `tag`. */
function contents(der: Uint8Array, at: number, tag: number): number | undefined {
  const length = der[at + 1];
  if (der[at] !== tag || length === undefined) return undefined;
  return at + 2 + (length < 0x80 ? 0 : length & 0x7f);
}

/**
 * Whether `der` is an X.509 version 3 certificate. Deno's TLS takes the handshake's signature of an older one
 * unchecked, which would let anybody pose as its owner, so those are refused.
 */
export function isVersion3(der: Uint8Array): boolean {
  const certificate = contents(der, 0, SEQUENCE);
  const body = certificate === undefined ? undefined : contents(der, certificate, SEQUENCE);
  const version = body === undefined ? undefined : contents(der, body, EXPLICIT_VERSION);
  return version !== undefined && der[version] === 2 && der[version + 1] === 1 &&
    der[version + 2] === VERSION_3;
}

function toPEM(der: Uint8Array): string {
  const lines = Buffer.from(der).toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

/** The certificates that the other end showed, leaf first, as PEM; undefined if none. Throws `unauthenticated`. */
export function peerChainPEM(socket: TLSSocket): string | undefined {
  let certificate: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  if (!certificate?.raw) return undefined;
  if (!isVersion3(certificate.raw)) {
    throw new CoveyError("unauthenticated", "Cannot accept certificate: it is not of X.509 version 3");
  }
  const chain: string[] = [];
  const seen = new Set<string>();
  while (certificate?.raw && chain.length < MAX_CHAIN_CERTIFICATES && !seen.has(certificate.fingerprint256)) {
    seen.add(certificate.fingerprint256);
    chain.push(toPEM(certificate.raw));
    certificate = certificate.issuerCertificate;
  }
  return chain.join("");
}
