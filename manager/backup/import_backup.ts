/** Writes a backup into an empty store, and makes the manager that does it the cluster's only one. */
import { type BackupEnd, type BackupHead, readBackup } from "../../api/backup.ts";
import { CoveyError } from "../../api/errors.ts";
import type { Meta } from "../../api/objects.ts";
import type { Node } from "../../api/node.ts";
import type { Consensus } from "../consensus/consensus.ts";
import { decodeEntry, encodedWrite, joinEntry, type Write } from "../store/entry.ts";
import { ObjectReader } from "../store/object_reader.ts";
import type { LocalEntry } from "../store/state.ts";
import { type Store, TABLE_NAMES } from "../store/mod.ts";

/**
 * How far versions jump: whoever read an object after the backup was made holds a version that shall not be
 * given out again. No cluster writes as often between two backups.
 */
export const RESTORE_VERSION_GAP = 1_000_000;

/** Where a backup is restored to: an empty store that leads. */
export interface RestoreTarget {
  store: Store;
  consensus: Consensus;
}

/**
 * Restores a backup, `self` being the node object of this manager (not stamped yet). Managers of before
 * become workers. Throws as `readBackup` does, and `data_loss` if the backup holds no cluster; then the
 * target is of no use.
 */
export async function importBackup(
  chunks: AsyncIterable<Uint8Array>,
  { store, consensus }: RestoreTarget,
  self: Node,
  time: string,
): Promise<BackupHead & BackupEnd> {
  if (TABLE_NAMES.some((table) => store.count(table) > 0)) {
    throw new CoveyError("failed_precondition", "Cannot restore the backup: the state is not empty");
  }
  let head: BackupHead | undefined, end: BackupEnd | undefined;
  let objects = 0;
  const reader = new ObjectReader();
  for await (const frame of readBackup(chunks)) {
    if (frame.kind === "head") head = frame.head;
    else if (frame.kind === "end") end = frame.end;
    else {
      const stamp = stampOf(head!, time);
      const writes = readWrites(frame.entry, reader).map((write) => asRestored(write, stamp));
      objects += writes.length;
      await propose(consensus, stamp.Version.Index, writes);
    }
  }
  const problem = end!.Objects === objects
    ? clusterProblem(store, head!)
    : `it has ${objects} of ${end!.Objects} objects`;
  if (problem !== undefined) throw unusable(problem);
  const stamp = { ...stampOf(head!, time), CreatedAt: time };
  await propose(consensus, stamp.Version.Index, [
    { action: "create", table: "nodes", object: { ...self, ...stamp } },
  ]);
  return { ...head!, ...end! };
}

type Stamp = Pick<Meta, "Version" | "UpdatedAt">;

function stampOf(head: BackupHead, time: string): Stamp {
  return { Version: { Index: head.Version + RESTORE_VERSION_GAP }, UpdatedAt: time };
}

function readWrites(entry: Uint8Array, reader: ObjectReader): Write[] {
  try {
    return decodeEntry(entry, reader).changes.map(({ table, id, object }) => {
      if (object === undefined) throw new TypeError(`it removes ${table} ${id}`);
      return { action: "create", table, object };
    });
  } catch (cause) {
    throw unusable((cause as Error).message, cause);
  }
}

/** Its state would have a quorum of managers that do not know of it; see docs/decisions/0050-restore.md. */
function asRestored(write: Write, stamp: Stamp): Write {
  if (write.table !== "nodes") return write;
  const { ManagerStatus: _, ...node } = write.object as Node;
  if (node.Role !== "manager" && node.Spec.Role !== "manager") return write;
  const object: Node = { ...node, ...stamp, Role: "worker", Spec: { ...node.Spec, Role: "worker" } };
  return { ...write, object };
}

async function propose(consensus: Consensus, version: number, writes: Write[]): Promise<void> {
  const local: LocalEntry = { version, writes };
  await consensus.propose(joinEntry(version, writes.map(encodedWrite)), local);
}

function clusterProblem(store: Store, { ClusterID }: BackupHead): string | undefined {
  const ids = store.all("clusters").map(({ ID }) => ID);
  return ids.length === 1 && ids[0] === ClusterID ? undefined : `it holds ${ids.length} clusters`;
}

function unusable(problem: string, cause?: unknown): CoveyError {
  return new CoveyError("data_loss", `Cannot restore the backup: ${problem}`, { cause });
}
