/**
 * The frame of every record on disk. Deno KV reads a flipped byte back without a word, so a checksum covers
 * the key, the header and the payload.
 *
 *     crc32 u32 | major f64 | minor f64 | kind u8 | part u16 | parts u16 | payload      (big-endian)
 */
import { crc32 } from "node:zlib";
import { CoveyError } from "../../../api/errors.ts";
import type { DiskKey, Mutation } from "./disk.ts";
import { MAX_VALUE_BYTES } from "./disk.ts";

/** What stands before the payload. */
export interface RecordHeader {
  /** Term of a log entry; generation of a state record. */
  major: number;
  /** Index. */
  minor: number;
  /** What the payload is, for whoever wrote it. */
  kind: number;
  /** Which of `parts` parts of a big payload this is. */
  part: number;
  parts: number;
}

const HEADER_BYTES = 25;
const CRC_BYTES = 4;
/** Payload bytes of one record. */
export const MAX_PAYLOAD_BYTES = MAX_VALUE_BYTES - HEADER_BYTES;

/** Puts frame and checksum around `payload`. */
export function seal(key: DiskKey, header: RecordHeader, payload: Uint8Array): Uint8Array {
  const value = new Uint8Array(HEADER_BYTES + payload.length);
  const view = new DataView(value.buffer);
  view.setFloat64(4, header.major);
  view.setFloat64(12, header.minor);
  view.setUint8(20, header.kind);
  view.setUint16(21, header.part);
  view.setUint16(23, header.parts);
  value.set(payload, HEADER_BYTES);
  view.setUint32(0, checksum(key, value));
  return value;
}

/** Takes the frame off. Throws `data_loss` naming the record if it is not what was written under this key. */
export function unseal(key: DiskKey, value: Uint8Array): RecordHeader & { payload: Uint8Array } {
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  if (value.length < HEADER_BYTES) throw damaged(key, `it has ${value.length} bytes`);
  if (view.getUint32(0) !== checksum(key, value)) throw damaged(key, "its checksum is wrong");
  return {
    major: view.getFloat64(4),
    minor: view.getFloat64(12),
    kind: view.getUint8(20),
    part: view.getUint16(21),
    parts: view.getUint16(23),
    payload: value.subarray(HEADER_BYTES),
  };
}

/** The error for a record that cannot be trusted. */
export function damaged(key: DiskKey, problem: string): CoveyError {
  return new CoveyError("data_loss", `Cannot read record ${key.join("/")}: ${problem}`);
}

/**
 * Writes `payload` as records `prefix/0`, `prefix/1`, … Part 0 comes last, and {@linkcode deleteParts}
 * takes it first: after a crash, what has a part 0 is whole, and the rest is to be dropped.
 */
export function* sealParts(
  prefix: DiskKey,
  header: Pick<RecordHeader, "major" | "minor" | "kind">,
  payload: Uint8Array,
): Iterable<Mutation> {
  const parts = countParts(payload);
  for (let part = parts - 1; part >= 0; part--) {
    const key = [...prefix, part];
    const piece = payload.subarray(part * MAX_PAYLOAD_BYTES, (part + 1) * MAX_PAYLOAD_BYTES);
    yield { key, value: seal(key, { ...header, part, parts }, piece) };
  }
}

/** Deletes what {@linkcode sealParts} wrote. */
export function* deleteParts(prefix: DiskKey, parts: number): Iterable<Mutation> {
  for (let part = 0; part < parts; part++) yield { key: [...prefix, part], value: undefined };
}

/** Records that a payload takes; an empty one takes one. */
export function countParts(payload: Uint8Array): number {
  return Math.max(1, Math.ceil(payload.length / MAX_PAYLOAD_BYTES));
}

/** Puts parts together again. Not as a Buffer: each piece that is cut from one costs several times as much. */
export function join(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function checksum(key: DiskKey, value: Uint8Array): number {
  return crc32(value.subarray(CRC_BYTES), crc32(key.join("/")));
}
