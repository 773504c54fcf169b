/**
 * What an X.509 certificate may be used for (RFC 5280, 4.2.1.3 and 4.2.1.12). `node:crypto` shows the purposes only and
 * not in every runtime the same way, and an idle agent is not to load the ASN.1 module for it (decision 0030).
 */
import { OID } from "./x509_names.ts";

const OBJECT_IDENTIFIER = 0x06;
const OCTET_STRING = 0x04;
/** Tag of the extensions in a certificate's body. */
const EXTENSIONS = 0xa3;
/** First bit of the key usages. */
const DIGITAL_SIGNATURE = 0b1000_0000;
/** Sixth bit. */
const KEY_CERT_SIGN = 0b0000_0100;
/** Tag of the version, with which a certificate's body begins. */
const VERSION = 0xa0;

/** What the extensions allow; where there are none, only `keyCertSign`. */
export interface CertificateUsage {
  digitalSignature: boolean;
  serverAuth: boolean;
  clientAuth: boolean;
  /** Nothing keeps a certificate authority's key from signing certificates. */
  keyCertSign: boolean;
}

/** One DER element: its tag, where it starts and where its contents lie. */
interface Element {
  tag: number;
  at: number;
  start: number;
  end: number;
}

/** Reads the usages of a certificate that `X509Certificate` has taken. */
export function usageOf(der: Uint8Array): CertificateUsage {
  const extensions = readExtensions(der);
  const purposes = extensions.get(OID.extendedKeyUsage);
  const usages = extensions.get(OID.keyUsage);
  const allowed = new Set(
    purposes === undefined
      ? []
      : inside(purposes, elementAt(purposes, 0)).map((each) => oidAt(purposes, each)),
  );
  return {
    // A BIT STRING: tag, length, unused bits, then the first eight usages.
    digitalSignature: ((usages?.[3] ?? 0) & DIGITAL_SIGNATURE) !== 0,
    serverAuth: allowed.has(OID.serverAuth),
    clientAuth: allowed.has(OID.clientAuth),
    keyCertSign: usages === undefined || ((usages[3] ?? 0) & KEY_CERT_SIGN) !== 0,
  };
}

/** DER of the subject, whatever it says. */
export function subjectDER(der: Uint8Array): Uint8Array<ArrayBuffer> {
  const [body] = inside(der, elementAt(der, 0));
  const parts = body ? inside(der, body) : [];
  const { at, end } = parts[parts[0]?.tag === VERSION ? 5 : 4] ?? { at: 0, end: 0 };
  return Uint8Array.from(der.subarray(at, end));
}

/** The extensions' values by their identifier. */
function readExtensions(der: Uint8Array): Map<string, Uint8Array> {
  const [body] = inside(der, elementAt(der, 0));
  const wrapper = body && inside(der, body).find(({ tag }) => tag === EXTENSIONS);
  const [list] = wrapper ? inside(der, wrapper) : [];
  const found = new Map<string, Uint8Array>();
  for (const extension of list ? inside(der, list) : []) {
    const parts = inside(der, extension);
    const name = parts[0], value = parts.at(-1);
    if (name?.tag !== OBJECT_IDENTIFIER || value?.tag !== OCTET_STRING) continue;
    found.set(oidAt(der, name), der.subarray(value.start, value.end));
  }
  return found;
}

/** The elements within another one. */
function inside(der: Uint8Array, { start, end }: Element): Element[] {
  const found: Element[] = [];
  for (let at = start; at < end;) {
    const element = elementAt(der, at);
    found.push(element);
    at = element.end;
  }
  return found;
}

/** Never empty and never beyond the bytes, so that walking ends whatever they are. */
function elementAt(der: Uint8Array, at: number): Element {
  const first = der[at + 1] ?? 0;
  const count = first < 0x80 ? 0 : first & 0x7f;
  const start = Math.min(at + 2 + count, der.length);
  const length = count === 0 ? first : der.subarray(at + 2, start).reduce((sum, byte) => sum * 256 + byte, 0);
  return { tag: der[at] ?? 0, at, start, end: Math.min(start + length, der.length) };
}

/** Dotted form; identifiers of our kind have parts below 2^14. */
function oidAt(der: Uint8Array, { start, end }: Element): string {
  const [first = 0, ...rest] = der.subarray(start, end);
  const parts = [Math.floor(first / 40), first % 40];
  let part = 0;
  for (const byte of rest) {
    part = part * 128 + (byte & 0x7f);
    if (byte < 0x80) {
      parts.push(part);
      part = 0;
    }
  }
  return parts.join(".");
}
