/**
 * Writes the few DER types that certificates and requests need (X.690).
 *
 * Ours because the general ASN.1 library costs an agent 5 MB resident and this costs nothing measurable.
 */

/** Tag bytes of the DER types used in certificates. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Tag byte of a context-specific `[number]`. */
export function contextTag(number: number, constructed: boolean): number {
  return 0x80 | (constructed ? 0x20 : 0) | number;
}

/** Joins byte arrays. */
export function concatBytes(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

function lengthBytes(length: number): Uint8Array {
  if (length < 0x80) return Uint8Array.of(length);
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest & 0xff);
  return Uint8Array.of(0x80 | bytes.length, ...bytes);
}

/** One element: tag, length, and the joined `contents`. */
export function element(tag: number, ...contents: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const body = concatBytes(...contents);
  return concatBytes(Uint8Array.of(tag), lengthBytes(body.length), body);
}

/** SEQUENCE of already encoded elements. */
export function sequence(...contents: Uint8Array[]): Uint8Array<ArrayBuffer> {
  return element(TAG.sequence, ...contents);
}

/** INTEGER from big-endian unsigned bytes, made minimal. */
export function integer(unsigned: Uint8Array): Uint8Array<ArrayBuffer> {
  let start = 0;
  while (start < unsigned.length - 1 && unsigned[start] === 0) start++;
  const body = unsigned.subarray(start);
  const needsSign = body.length === 0 || body[0]! >= 0x80;
  return needsSign ? element(TAG.integer, Uint8Array.of(0), body) : element(TAG.integer, body);
}

/** OBJECT IDENTIFIER from its dotted form. */
export function objectIdentifier(dotted: string): Uint8Array<ArrayBuffer> {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes: number[] = [];
  for (const arc of [first * 40 + second, ...rest]) {
    const group = [arc % 128];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) {
      group.unshift((left % 128) | 0x80);
    }
    bytes.push(...group);
  }
  return element(TAG.oid, Uint8Array.from(bytes));
}

/** BIT STRING; `unusedBits` of the last byte do not count. */
export function bitString(bytes: Uint8Array, unusedBits = 0): Uint8Array<ArrayBuffer> {
  return element(TAG.bitString, Uint8Array.of(unusedBits), bytes);
}

/** UTF8String. */
export function utf8String(text: string): Uint8Array<ArrayBuffer> {
  return element(TAG.utf8String, new TextEncoder().encode(text));
}

/** Time of a certificate, whole seconds: UTCTime until 2049, GeneralizedTime after (RFC 5280 4.1.2.5). */
export function time(ms: number): Uint8Array<ArrayBuffer> {
  const digits = new Date(ms).toISOString().replace(/\.\d+Z$/, "Z").replace(/[-:T]/g, "");
  const year = new Date(ms).getUTCFullYear();
  const ascii = (text: string) => new TextEncoder().encode(text);
  if (year >= 1950 && year < 2050) return element(TAG.utcTime, ascii(digits.slice(2)));
  return element(TAG.generalizedTime, ascii(digits));
}
