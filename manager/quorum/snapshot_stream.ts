/** A snapshot on its way: cut into chunks at the sender, put together at the receiver. */
import { CoveyError } from "../../api/errors.ts";
import {
  RAFT_METHODS,
  type RaftHello,
  type RaftStreamEnd,
  type SnapshotChunk,
  type SnapshotHead,
} from "../../api/raft.ts";
import type { StateRecord } from "../consensus/state_machine.ts";
import type { Dialer } from "../../transport/mod.ts";
import type { Message } from "../raft/mod.ts";
import { dialPeer, type PeerAddress } from "./peer_link.ts";
import type { SnapshotData } from "./raft_disk.ts";
import { decodeSnapshotChunk, decodeSnapshotHead } from "./wire.ts";

/** Bytes of records in one chunk: half of what a stream sends ahead of its receiver. */
const CHUNK_BYTES = 128 * 1024;
/**
 * Bytes of the largest snapshot that is taken in. It is held in memory until it is on disk, and as objects, which take about
 * twice its bytes, for good; a process has 4 GB for objects at most. A state of this size could not be served either.
 */
const MAX_SNAPSHOT_BYTES = 1024 * 1024 * 1024;
/** Longest handshake for a snapshot's connection. */
const DIAL_TIMEOUT_MS = 5_000;

type SnapshotMessage = Message & { type: "snapshot" };

/**
 * Sends a snapshot over a connection of its own, as fast as the receiver takes it; true once it has arrived. The
 * records are encoded while it goes on.
 */
export async function sendSnapshot(
  dialer: Dialer,
  peer: PeerAddress,
  hello: RaftHello,
  message: SnapshotMessage,
  data: SnapshotData,
  signal: AbortSignal,
): Promise<boolean> {
  const connection = await dialPeer(dialer, peer, DIAL_TIMEOUT_MS, signal);
  try {
    const items = snapshotItems(hello, message, data);
    const end = await connection.clientStream<RaftStreamEnd>(RAFT_METHODS.snapshot, items, { signal });
    return end?.Arrived === true;
  } finally {
    connection.close();
  }
}

async function* snapshotItems(
  hello: RaftHello,
  message: SnapshotMessage,
  { addresses, records }: SnapshotData,
): AsyncGenerator<RaftHello | SnapshotHead | SnapshotChunk> {
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
 * Takes in what follows the hello. Throws `data_loss` if it ends early, and `resource_exhausted` beyond `maxBytes`. The
 * records can be read once: each is let go of then.
 */
export async function receiveSnapshot(
  items: AsyncIterator<unknown>,
  maxBytes = MAX_SNAPSHOT_BYTES,
): Promise<{ message: SnapshotMessage; data: SnapshotData }> {
  const head = await items.next();
  const { message, addresses } = decodeSnapshotHead(head.value);
  const records: StateRecord[] = [];
  let bytes = 0;
  while (true) {
    const { done, value } = await items.next();
    if (done) {
      throw new CoveyError("data_loss", `Cannot use a snapshot: it ends after ${records.length} records`);
    }
    const { Records, Total } = decodeSnapshotChunk(value);
    for (let at = 0; at < Records.length; at += 2) {
      const value = (Records[at + 1] as Uint8Array).slice();
      bytes += value.length;
      records.push({ key: Records[at] as string, value });
    }
    if (bytes > maxBytes) {
      throw new CoveyError(
        "resource_exhausted",
        `Cannot take in a snapshot: it has more than ${maxBytes} bytes`,
      );
    }
    if (Total === undefined) continue;
    if (Total === records.length) return { message, data: { addresses, records: takeOut(records) } };
    throw new CoveyError("data_loss", `Cannot use a snapshot: it has ${records.length} of ${Total} records`);
  }
}

function* takeOut(records: (StateRecord | undefined)[]): Iterable<StateRecord> {
  for (let at = 0; at < records.length; at++) {
    const record = records[at]!;
    records[at] = undefined;
    yield record;
  }
}
