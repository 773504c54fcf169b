/** A snapshot on its way: cut into chunks at the sender, stored chunk by chunk at the receiver. */
import { getLogger } from "@logtape/logtape";
import { type Clock, sleep } from "../../../api/clock.ts";
import { CoveyError } from "../../../api/errors.ts";
import {
  RAFT_METHODS,
  type RaftHello,
  type RaftStreamEnd,
  type SnapshotChunk,
  type SnapshotHead,
} from "../../../api/raft.ts";
import type { StateRecord } from "../state_machine.ts";
import type { MemberAddress } from "../disk/disk_storage.ts";
import type { Dialer } from "../../../transport/mod.ts";
import type { Message } from "../../raft/mod.ts";
import type { IncomingSnapshot } from "../disk/incoming_snapshots.ts";
import { dialPeer, type PeerAddress } from "./peer_link.ts";
import type { SnapshotData } from "../disk/raft_disk.ts";
import { decodeSnapshotChunk, decodeSnapshotHead } from "./wire.ts";

/** Bytes of records in one chunk: a millisecond of the sender's time, and a quarter of what a stream sends ahead of its receiver. */
const CHUNK_BYTES = 64 * 1024;
/**
 * Bytes sent in a second at most, two thirds of what a 100 Mbit/s port takes: heartbeats and entries go the same way, and
 * whoever leads has clients to answer.
 */
const BYTES_PER_SECOND = 8_000_000;
/** Milliseconds of delay that are made up for: those of timers, not those of a receiver that is slow. */
const MAX_BURST_MS = 20;
/**
 * Bytes of the largest snapshot that is taken in. As objects it takes about twice its bytes in memory; a process has 4 GB
 * for objects at most. A state of this size could not be served either.
 */
const MAX_SNAPSHOT_BYTES = 1024 * 1024 * 1024;
/** Longest handshake for a snapshot's connection. */
const DIAL_TIMEOUT_MS = 5_000;

/** Bytes after each of which the receiver says how far it is: some seconds. */
const PROGRESS_BYTES = 50_000_000;

const logger = getLogger(["covey", "quorum"]);

type SnapshotMessage = Message & { type: "snapshot" };
type SnapshotItem = RaftHello | SnapshotHead | SnapshotChunk;

/** What {@linkcode sendSnapshot} works with. */
export interface SnapshotSender {
  dialer: Dialer;
  clock: Clock;
  /** Whether it is waited for, so that sending it slowly would spare nobody. */
  hurries: () => boolean;
}

/**
 * Sends a snapshot over a connection of its own, as fast as the receiver takes it but without haste; true once it has
 * arrived. The records are encoded while it goes on.
 */
export async function sendSnapshot(
  { dialer, clock, hurries }: SnapshotSender,
  peer: PeerAddress,
  hello: RaftHello,
  message: SnapshotMessage,
  data: SnapshotData,
  signal: AbortSignal,
): Promise<boolean> {
  const connection = await dialPeer(dialer, peer, DIAL_TIMEOUT_MS, signal);
  try {
    const items = paced(snapshotItems(hello, message, data), { clock, hurries }, signal);
    const end = await connection.clientStream<RaftStreamEnd>(RAFT_METHODS.snapshot, items, { signal });
    return end?.Arrived === true;
  } finally {
    connection.close();
  }
}

/** Passes on `items` at {@linkcode BYTES_PER_SECOND}, or at once while it `hurries`. */
async function* paced(
  items: Iterable<SnapshotItem>,
  { clock, hurries }: Pick<SnapshotSender, "clock" | "hurries">,
  signal: AbortSignal,
): AsyncGenerator<SnapshotItem> {
  let due = -Infinity;
  for (const item of items) {
    const waitMs = due - clock.monotonic();
    if (waitMs > 0 && !hurries()) await sleep(clock, waitMs, signal);
    due = Math.max(due, clock.monotonic() - MAX_BURST_MS) + 1000 * bytesOf(item) / BYTES_PER_SECOND;
    yield item;
  }
}

function bytesOf(item: SnapshotItem): number {
  return "Records" in item ? item.Records.reduce((sum, { length }) => sum + length, 0) : 0;
}

function* snapshotItems(
  hello: RaftHello,
  message: SnapshotMessage,
  { addresses, records }: SnapshotData,
): Generator<SnapshotItem> {
  yield hello;
  const Members = addresses.map(({ memberID, nodeID, address }) => ({
    MemberID: memberID,
    NodeID: nodeID,
    Addr: address,
  }));
  yield { Message: message, Members };
  let chunk: SnapshotChunk = { Records: [] };
  let [bytes, total] = [0, 0];
  for (const { key, value } of records) {
    chunk.Records.push(key, value);
    bytes += key.length + value.length;
    total++;
    if (bytes < CHUNK_BYTES) continue;
    yield chunk;
    chunk = { Records: [] };
    bytes = 0;
  }
  yield { ...chunk, Total: total };
}

/**
 * Takes in what follows the hello, as fast as the disk writes it. Throws `data_loss` if it ends early,
 * `resource_exhausted` beyond `maxBytes`, and `canceled` if it is not wanted any more.
 */
export async function receiveSnapshot(
  items: AsyncIterator<unknown>,
  { state, image }: IncomingSnapshot,
  maxBytes = MAX_SNAPSHOT_BYTES,
): Promise<{ message: SnapshotMessage; addresses: MemberAddress[] }> {
  const head = await items.next();
  const { message, addresses } = decodeSnapshotHead(head.value);
  let [bytes, total] = [0, 0];
  while (true) {
    const { done, value } = await items.next();
    if (done) throw new CoveyError("data_loss", `Cannot use a snapshot: it ends after ${total} records`);
    const { records, Total } = readChunk(value);
    const before = bytes;
    for (const record of records) {
      bytes += record.value.length;
      image.add(record);
    }
    sayProgress(before, bytes, Total !== undefined);
    if (bytes > maxBytes) {
      throw new CoveyError(
        "resource_exhausted",
        `Cannot take in a snapshot: it has more than ${maxBytes} bytes`,
      );
    }
    await state.add(records);
    total += records.length;
    if (Total === undefined) continue;
    if (Total !== total) {
      throw new CoveyError("data_loss", `Cannot use a snapshot: it has ${total} of ${Total} records`);
    }
    await state.end();
    return { message, addresses };
  }
}

/** Says nothing of a state that is here in a moment. */
function sayProgress(before: number, bytes: number, isLast: boolean): void {
  const steps = Math.floor(bytes / PROGRESS_BYTES);
  const megabytes = (bytes / 1e6).toFixed(0);
  if (isLast && steps > 0) logger.info(`The cluster's state has arrived, ${megabytes} MB`);
  else if (steps > Math.floor(before / PROGRESS_BYTES)) {
    logger.info(`Taking in the cluster's state: ${megabytes} MB so far`);
  }
}

function readChunk(item: unknown): { records: StateRecord[]; Total?: number | undefined } {
  const { Records, Total } = decodeSnapshotChunk(item);
  const records: StateRecord[] = [];
  for (let at = 0; at < Records.length; at += 2) {
    records.push({ key: Records[at] as string, value: Records[at + 1] as Uint8Array });
  }
  return { records, Total };
}
