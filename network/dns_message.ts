/** Messages of the domain name system (RFC 1035), as far as a resolver has to read and write them. Pure. */
import { parseIPv4 } from "../api/ipv4.ts";

/** Bytes of an answer over UDP, unless the question says that more are taken (RFC 6891). */
const PLAIN_BYTES = 512;
/** Bytes of the largest answer over UDP: what fits into a network's packet. */
const MAX_UDP_BYTES = 1232;
/** Bytes of the header, before the question. */
const HEADER_BYTES = 12;
/** Bytes of a name with its lengths, and of one of its labels (RFC 1035). */
const MAX_NAME_BYTES = 255, MAX_LABEL_BYTES = 63;

/** Types of records. */
export const TYPE = { A: 1, PTR: 12, AAAA: 28, OPT: 41, ANY: 255 } as const;
/** What came of a question. */
export const CODE = {
  ok: 0,
  formatError: 1,
  failure: 2,
  noSuchName: 3,
  notImplemented: 4,
  refused: 5,
} as const;
/** Seconds that an answer may be kept: who serves may change at any time. */
const TTL_SECONDS = 1;

/** A question as it was asked. */
export interface Question {
  id: number;
  /** In lower case, without the last dot. */
  name: string;
  type: number;
  wantsRecursion: boolean;
  /** Bytes of the largest answer that is taken. */
  maxBytes: number;
  /** Offset of the first byte behind the question. */
  end: number;
}

/** A record of an answer: an IPv4 address, or a name. */
export type Answer = { type: typeof TYPE.A; address: string } | { type: typeof TYPE.PTR; name: string };

/** The one question of a message; undefined for what is none: then nothing is answered. */
export function parseQuestion(bytes: Uint8Array): Question | undefined {
  if (bytes.length < HEADER_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), flags = view.getUint16(2);
  const isPlainQuery = (flags & 0xf800) === 0;
  if (!isPlainQuery || view.getUint16(4) !== 1 || view.getUint16(6) !== 0) return undefined;
  const name = readName(bytes, HEADER_BYTES);
  if (name === undefined || name.end + 4 > bytes.length) return undefined;
  const type = view.getUint16(name.end), end = name.end + 4;
  return {
    id: view.getUint16(0),
    name: name.text,
    type,
    wantsRecursion: (flags & 0x0100) !== 0,
    maxBytes: bytesTaken(view, end),
    end,
  };
}

/** The answer to `question`, whose bytes are repeated; as many records as fit, and a flag if not all do. */
export function encodeAnswer(
  message: Uint8Array,
  { end, wantsRecursion, maxBytes }: Question,
  code: number,
  answers: readonly Answer[] = [],
): Uint8Array<ArrayBuffer> {
  const records: Uint8Array[] = [];
  let size = end;
  for (const answer of answers) {
    const record = encodeRecord(answer);
    if (size + record.length > maxBytes) break;
    records.push(record);
    size += record.length;
  }
  const bytes = new Uint8Array(size), view = new DataView(bytes.buffer);
  bytes.set(message.subarray(0, end));
  const isCut = records.length < answers.length;
  view.setUint16(2, 0x8480 | (isCut ? 0x0200 : 0) | (wantsRecursion ? 0x0100 : 0) | code);
  view.setUint16(6, records.length);
  // Of what follows the question nothing is repeated.
  view.setUint32(8, 0);
  let at = end;
  for (const record of records) {
    bytes.set(record, at);
    at += record.length;
  }
  return bytes;
}

/** The address that a name under in-addr.arpa is about. */
export function reverseAddress(name: string): string | undefined {
  const [, digits] = /^((?:\d{1,3}\.){4})in-addr\.arpa$/.exec(name) ?? [];
  const address = digits?.slice(0, -1).split(".").reverse().join(".");
  return address !== undefined && parseIPv4(address) !== undefined ? address : undefined;
}

function bytesTaken(view: DataView, end: number): number {
  // The one record that a question has behind it, if any: no name, OPT, and in place of the class the size.
  const hasOption = view.getUint16(10) === 1 && end + 5 <= view.byteLength && view.getUint8(end) === 0 &&
    view.getUint16(end + 1) === TYPE.OPT;
  if (!hasOption) return PLAIN_BYTES;
  return Math.min(MAX_UDP_BYTES, Math.max(PLAIN_BYTES, view.getUint16(end + 3)));
}

/** No pointers: a question has nothing to point at. */
function readName(bytes: Uint8Array, start: number): { text: string; end: number } | undefined {
  const labels: string[] = [];
  let at = start;
  while (true) {
    const length = bytes[at];
    if (length === undefined || length > MAX_LABEL_BYTES || at - start > MAX_NAME_BYTES) return undefined;
    at++;
    if (length === 0) return { text: labels.join(".").toLowerCase(), end: at };
    if (at + length > bytes.length) return undefined;
    labels.push(String.fromCharCode(...bytes.subarray(at, at + length)));
    at += length;
  }
}

function encodeRecord(answer: Answer): Uint8Array {
  const data = answer.type === TYPE.A ? addressBytes(answer.address) : nameBytes(answer.name);
  // The name is the question's.
  const head = [
    0xc0,
    HEADER_BYTES,
    0,
    answer.type,
    0,
    1,
    0,
    0,
    0,
    TTL_SECONDS,
    data.length >> 8,
    data.length & 255,
  ];
  return new Uint8Array([...head, ...data]);
}

function addressBytes(address: string): number[] {
  return address.split(".").map(Number);
}

function nameBytes(name: string): number[] {
  const labels = name.split(".").map((label) =>
    [...new TextEncoder().encode(label)].slice(0, MAX_LABEL_BYTES)
  );
  return [...labels.flatMap((label) => [label.length, ...label]), 0];
}
