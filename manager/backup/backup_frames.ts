/** The state of a cluster as a backup: every object as of one index, encoded while it is read. */
import { requireCluster } from "../cluster/cluster_object.ts";
import { type BackupHead, BackupWriter } from "../../api/backup.ts";
import { CoveyError } from "../../api/errors.ts";
import { type Clock, timestamp } from "../../api/clock.ts";
import type { Meta } from "../../api/objects.ts";
import type { Consensus } from "../consensus/consensus.ts";
import {
  decodeRecord,
  decodeVersion,
  encodedWrite,
  joinEntry,
  parseKey,
  VERSION_KEY,
} from "../store/entry.ts";
import { ObjectReader } from "../store/object_reader.ts";
import { type Store, TABLE_NAMES, type TableName } from "../store/mod.ts";

/**
 * A part is closed when it has this many bytes: large enough to cost nothing, and one log entry on its
 * return.
 */
const PART_BYTES = 256 * 1024;

/** What a backup is made from. */
export interface BackupSource {
  store: Store;
  consensus: Consensus;
  clock: Clock;
  /** Covey's version. */
  version: string;
}

/**
 * The bytes of a backup. The state is that of the moment of this call, whatever is written while the bytes
 * are taken: stored objects never change, so only references to them are kept, and at most one part is in
 * memory.
 */
export function backupFrames(
  { store, consensus, clock, version }: BackupSource,
): Iterable<Uint8Array<ArrayBuffer>> {
  const objects = TABLE_NAMES.flatMap((table) =>
    store.all(table).map((object): [TableName, Meta] => [table, object])
  );
  return encode(objects, {
    ClusterID: requireCluster(store).ID,
    Index: store.index,
    Version: objects.reduce((highest, [, { Version }]) => Math.max(highest, Version.Index), 0),
    CreatedAt: timestamp(clock),
    CoveyVersion: version,
    Managers: managersOf(consensus),
  });
}

function managersOf(consensus: Consensus): BackupHead["Managers"] {
  return consensus.status().members.map(({ nodeID, address }) => ({ NodeID: nodeID, Addr: address }));
}

/**
 * The same of the state at an earlier checkpoint that this manager has kept, whose objects are all held in memory. Throws
 * `not_found` if it has not, `data_loss` if it is damaged. The managers in its head are the present ones: who they were
 * does not stand in a state.
 */
export async function snapshotFrames(
  { store, consensus, version }: Omit<BackupSource, "clock">,
  index: number,
): Promise<Iterable<Uint8Array<ArrayBuffer>>> {
  const kept = consensus.states?.old.find((each) => each.index === index);
  const records = new Map<string, Uint8Array>();
  if (kept === undefined) {
    throw new CoveyError("not_found", `Cannot make a backup: snapshot ${index} is not kept here`);
  }
  for await (const { key, value } of consensus.states!.readOld(index)) {
    if (value === undefined) records.delete(key);
    else records.set(key, value);
  }
  const reader = new ObjectReader(), versionRecord = records.get(VERSION_KEY);
  records.delete(VERSION_KEY);
  const objects = [...records].map(([key, value]) => ({
    name: parseKey(key).name,
    ...decodeRecord(value, reader),
  }))
    .sort((a, b) => TABLE_NAMES.indexOf(a.name) - TABLE_NAMES.indexOf(b.name) || a.order - b.order);
  return encode(objects.map(({ name, object }) => [name, object]), {
    ClusterID: requireCluster(store).ID,
    Index: index,
    Version: versionRecord === undefined ? 0 : decodeVersion(versionRecord, reader),
    CreatedAt: new Date(kept.writtenAt).toISOString(),
    CoveyVersion: version,
    Managers: managersOf(consensus),
  });
}

function* encode(objects: [TableName, Meta][], head: BackupHead): Iterable<Uint8Array<ArrayBuffer>> {
  const writer = new BackupWriter();
  yield writer.write({ kind: "head", head });
  let writes: Uint8Array[] = [];
  let bytes = 0;
  const part = () => writer.write({ kind: "entry", entry: joinEntry(head.Version, writes) });
  for (const [table, object] of objects) {
    const write = encodedWrite({ action: "create", table, object });
    if (writes.length > 0 && bytes + write.length > PART_BYTES) {
      yield part();
      [writes, bytes] = [[], 0];
    }
    writes.push(write);
    bytes += write.length;
  }
  if (writes.length > 0) yield part();
  yield writer.write({ kind: "end", end: { Objects: objects.length } });
}
