/** The state of a cluster as a backup: every object as of one index, encoded while it is read. */
import { requireCluster } from "../cluster/cluster_object.ts";
import { type BackupHead, BackupWriter } from "../../api/backup.ts";
import { type Clock, timestamp } from "../../api/clock.ts";
import type { Meta } from "../../api/objects.ts";
import type { Consensus } from "../consensus/consensus.ts";
import { encodedWrite, joinEntry } from "../store/entry.ts";
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
    Managers: consensus.status().members.map(({ nodeID, address }) => ({ NodeID: nodeID, Addr: address })),
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
