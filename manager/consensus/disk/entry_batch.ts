/**
 * Entries as the payload of one record: written, sealed and deleted together, because each record costs a page or more.
 *
 *     (term f64 | kind u8 | bytes u32 | data)…      (big-endian)
 *
 * The record says the index of the first one; its checksum covers them all. Only a batch of a single entry has more bytes
 * than a record holds, and then several parts.
 */
import { MAX_PAYLOAD_BYTES } from "./record.ts";

/** One entry of the log. */
export interface LogEntry {
  index: number;
  term: number;
  /** What `data` is, for the member: an entry of the state machine, a change of membership, … 0 to 255. */
  kind: number;
  data: Uint8Array;
}

/** Bytes in front of each entry's data. */
const HEAD_BYTES = 13;

/** Cuts entries into batches, each of which fits into one record unless it is a single large entry. */
export function* batchesOf(entries: readonly LogEntry[]): Iterable<readonly LogEntry[]> {
  let [from, bytes] = [0, 0];
  for (let at = 0; at < entries.length; at++) {
    const size = HEAD_BYTES + entries[at]!.data.length;
    if (at > from && bytes + size > MAX_PAYLOAD_BYTES) {
      yield entries.slice(from, at);
      [from, bytes] = [at, 0];
    }
    bytes += size;
  }
  if (from < entries.length) yield from === 0 ? entries : entries.slice(from);
}

/** Bytes of a batch. */
function batchBytes(entries: readonly LogEntry[]): number {
  return entries.reduce((sum, { data }) => sum + HEAD_BYTES + data.length, 0);
}

/** The payload of a batch. */
export function encodeBatch(entries: readonly LogEntry[]): Uint8Array {
  const payload = new Uint8Array(batchBytes(entries));
  const view = new DataView(payload.buffer);
  let at = 0;
  for (const { term, kind, data } of entries) {
    view.setFloat64(at, term);
    view.setUint8(at + 8, kind);
    view.setUint32(at + 9, data.length);
    payload.set(data, at + HEAD_BYTES);
    at += HEAD_BYTES + data.length;
  }
  return payload;
}

/** Entries of a payload, the first of which has index `first`; undefined if the bytes are not whole entries. */
export function decodeBatch(first: number, payload: Uint8Array): LogEntry[] | undefined {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const entries: LogEntry[] = [];
  for (let at = 0; at < payload.length;) {
    if (at + HEAD_BYTES > payload.length) return undefined;
    const start = at + HEAD_BYTES, end = start + view.getUint32(at + 9);
    if (end > payload.length) return undefined;
    entries.push({
      index: first + entries.length,
      term: view.getFloat64(at),
      kind: view.getUint8(at + 8),
      data: payload.subarray(start, end),
    });
    at = end;
  }
  return entries.length > 0 ? entries : undefined;
}
