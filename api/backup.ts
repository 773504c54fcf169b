/**
 * The backup of a cluster as it travels and lies in a file: a stream of frames, each vouching for every byte
 * before it.
 *
 *     "COVEYBAK" | format u16 | frame…                                                         (big-endian)
 *     frame: kind u8 | length u32 | payload | SHA-256 of the stream up to here
 *
 * The first frame is the head (JSON), the last one the end (JSON), and between them are entries as the store
 * writes them. So the last 32 bytes are the checksum of the whole, and an entry can be used before the rest
 * has come.
 */
import { createHash, type Hash } from "node:crypto";
import { ByteQueue } from "./byte_queue.ts";
import { CoveyError, type FieldProblem } from "./errors.ts";
import { integer, line, list, record, type Shape } from "./validate/shape.ts";

/** Path of the call that answers with a backup (GET); of an earlier state, whose index is the parameter `snapshot`. */
export const BACKUP_PATH = "/covey/backup";
/** Path of the call that lists the earlier states of which the same manager can make one (GET). */
export const SNAPSHOTS_PATH = "/covey/snapshots";
/** Path of the call that takes one (POST), with the parameters of {@linkcode RestoreParameters}. */
export const RESTORE_PATH = "/covey/restore";
/** Its media type. */
export const BACKUP_TYPE = "application/vnd.covey.backup";
/** Raised when an older program could not restore the file. */
export const BACKUP_FORMAT = 1;
/**
 * Bytes of a payload at most: a log entry has 1.5 MiB, and what a reader holds in memory must have an end.
 */
const MAX_FRAME_BYTES = 2 * 1024 * 1024;

/** What a backup is of. */
export interface BackupHead {
  ClusterID: string;
  /** Consensus index as of which everything in it is. */
  Index: number;
  /** Highest `Version.Index` of an object in it. */
  Version: number;
  /** RFC 3339 in UTC */
  CreatedAt: string;
  /** Version of the Covey that made it. */
  CoveyVersion: string;
  /** The managers at that time, HOST:PORT each. */
  Managers: { NodeID: string; Addr: string }[];
}

/** What stands at its end. */
export interface BackupEnd {
  Objects: number;
}

/** An earlier state that a manager has kept. */
export interface OldSnapshotView {
  Index: number;
  /** RFC 3339 in UTC */
  WrittenAt: string;
}

/** Query parameters of a restore: addresses are HOST:PORT; without one, the manager's own flags count. */
export interface RestoreParameters {
  ListenAddr?: string;
  AdvertiseAddr?: string;
}

/** The answer to a restore. */
export interface RestoreResponse extends BackupHead, BackupEnd {
  /** The restored manager, which is a new node. */
  NodeID: string;
  /** HOST:PORT that agents join at. */
  Addr: string;
}

/** One part of a backup. */
export type BackupFrame =
  | { kind: "head"; head: BackupHead }
  | { kind: "entry"; entry: Uint8Array }
  | { kind: "end"; end: BackupEnd };

const headShape = record({
  ClusterID: line(),
  Index: integer(0),
  Version: integer(0),
  CreatedAt: line(),
  CoveyVersion: line(),
  Managers: list(record({ NodeID: line(), Addr: line() }, ["NodeID", "Addr"])),
}, ["ClusterID", "Index", "Version", "CreatedAt", "CoveyVersion", "Managers"]);
const endShape = record({ Objects: integer(0) }, ["Objects"]);

const MAGIC = new TextEncoder().encode("COVEYBAK");
const KINDS = ["head", "entry", "end"] as const;
const PREFIX_BYTES = 5;
const SUM_BYTES = 32;

/** Makes the bytes of a backup, frame by frame: one head, entries, one end. */
export class BackupWriter {
  readonly #hash = createHash("sha256");
  #begun = false;

  /** The bytes of the next part. */
  write(frame: BackupFrame): Uint8Array<ArrayBuffer> {
    const start = this.#begun ? new Uint8Array() : preamble();
    this.#begun = true;
    const payload = frame.kind === "entry"
      ? frame.entry
      : toJSON(frame.kind === "head" ? frame.head : frame.end);
    const sumAt = start.length + PREFIX_BYTES + payload.length;
    const bytes = new Uint8Array(sumAt + SUM_BYTES);
    bytes.set(start);
    bytes[start.length] = KINDS.indexOf(frame.kind);
    new DataView(bytes.buffer).setUint32(start.length + 1, payload.length);
    bytes.set(payload, start.length + PREFIX_BYTES);
    this.#hash.update(bytes.subarray(0, sumAt));
    bytes.set(sumOf(this.#hash), sumAt);
    this.#hash.update(bytes.subarray(sumAt));
    return bytes;
  }
}

/**
 * Reads and checks a backup. Throws `invalid_argument` for what is none, `unimplemented` for a newer format,
 * and `data_loss` saying where it is damaged or cut off. Only the end says that all of it is there.
 */
export async function* readBackup(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<BackupFrame, void> {
  const input = new ByteQueue(chunks);
  const hash = createHash("sha256");
  hash.update(await readPreamble(input));
  for (let nth = 0;; nth++) {
    const frame = await readFrame(input, hash);
    if ((frame.kind === "head") !== (nth === 0)) throw damaged(`${frame.kind} is part ${nth}`);
    const isEnd = frame.kind === "end";
    if (isEnd && !await input.ended()) throw damaged("something follows its end");
    yield frame;
    if (isEnd) return;
  }
}

async function readPreamble(input: ByteQueue): Promise<Uint8Array> {
  const wanted = preamble();
  const found = await input.take(wanted.length);
  if (found.length === 0) throw refuse("it is empty");
  const magic = found.subarray(0, MAGIC.length);
  if (magic.some((byte, at) => byte !== MAGIC[at])) throw refuse("it does not begin as one");
  if (found.length < wanted.length) throw cutOff(input);
  const format = new DataView(found.buffer, found.byteOffset).getUint16(MAGIC.length);
  if (format !== BACKUP_FORMAT) {
    throw new CoveyError(
      "unimplemented",
      `Cannot read the backup: its format is ${format}, this program reads ${BACKUP_FORMAT}`,
    );
  }
  return found;
}

async function readFrame(input: ByteQueue, hash: Hash): Promise<BackupFrame> {
  const at = input.taken;
  const prefix = await exactly(input, PREFIX_BYTES);
  const kind = KINDS[prefix[0]!];
  const length = new DataView(prefix.buffer, prefix.byteOffset).getUint32(1);
  if (kind === undefined || length > MAX_FRAME_BYTES) throw damaged(`no part can begin as at byte ${at}`);
  const payload = await exactly(input, length);
  const sum = await exactly(input, SUM_BYTES);
  hash.update(prefix).update(payload);
  const expected = sumOf(hash);
  if (sum.some((byte, i) => byte !== expected[i])) {
    throw damaged(`the checksum at byte ${input.taken - SUM_BYTES} is wrong`);
  }
  hash.update(sum);
  if (kind === "entry") return { kind, entry: payload };
  const value = parseJSON(payload);
  return kind === "head"
    ? { kind, head: checked(headShape, value) as BackupHead }
    : { kind, end: checked(endShape, value) };
}

function parseJSON(payload: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(payload));
  } catch (cause) {
    throw damaged(`a part of it is no JSON: ${(cause as Error).message}`);
  }
}

/** What is in place of the end and of the head: the checksum says who wrote it, not that it is right. */
function checked<T>(shape: Shape<T>, value: unknown): Required<T> {
  const problems: FieldProblem[] = [];
  const found = shape(value, "", problems);
  const [first] = problems;
  if (first !== undefined) throw damaged(`${first.field}: ${first.message}`);
  return found as Required<T>;
}

async function exactly(input: ByteQueue, count: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = await input.take(count);
  if (bytes.length === count) return bytes;
  throw cutOff(input);
}

function preamble(): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(MAGIC.length + 2);
  bytes.set(MAGIC);
  new DataView(bytes.buffer).setUint16(MAGIC.length, BACKUP_FORMAT);
  return bytes;
}

function toJSON(value: BackupHead | BackupEnd): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

/** The sum so far; the hash goes on. */
function sumOf(hash: Hash): Uint8Array {
  return hash.copy().digest();
}

function refuse(problem: string): CoveyError {
  return new CoveyError("invalid_argument", `Cannot read the backup: this is no backup of Covey, ${problem}`);
}

function damaged(problem: string): CoveyError {
  return new CoveyError("data_loss", `Cannot read the backup: it is damaged, ${problem}`);
}

function cutOff(input: ByteQueue): CoveyError {
  return new CoveyError("data_loss", `Cannot read the backup: it is cut off after ${input.taken} bytes`);
}
