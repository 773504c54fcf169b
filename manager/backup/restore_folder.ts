/** Prepares a manager's state folder from a backup: all of it, or nothing. */
import type { BackupEnd, BackupHead } from "../../api/backup.ts";
import { type Clock, timestamp } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import { newID, type Random } from "../../api/random.ts";
import { exists, systemFileSystem } from "../../security/mod.ts";
import { firstNode } from "../cluster/new_cluster.ts";
import { importBackup, type RestoreTarget } from "./import_backup.ts";

/** What a node keeps of a cluster; a folder with any of it is in use. */
const TRACES = ["node.json", "raft", "agent", "certificates/swarm-node.crt"];
/** Where the state grows until it is whole. */
const STAGING = "restore";

/** Where to restore to. */
export interface RestoreFolderOptions {
  stateDir: string;
  backup: AsyncIterable<Uint8Array>;
  /** Opens an empty state in `raftDir` as node `nodeID`, the only manager. */
  open: (raftDir: string, nodeID: string) => Promise<RestoreTarget & { stop(): Promise<void> }>;
  clock: Clock;
  random: Random;
}

/** What was restored, and the node that this manager is now. */
export type RestoredCluster = BackupHead & BackupEnd & { NodeID: string };

/**
 * Leaves the cluster's state in `stateDir/raft`; what makes the node a member is written by the caller, last.
 * Throws `failed_precondition` if the folder is in use, and otherwise as `importBackup`; then nothing is left
 * there.
 */
export async function restoreFolder(options: RestoreFolderOptions): Promise<RestoredCluster> {
  const { stateDir, backup, open, clock, random } = options;
  await refuseUsed(stateDir);
  const staging = `${stateDir}/${STAGING}`;
  await removeFolder(staging);
  try {
    const NodeID = newID(random);
    const target = await open(staging, NodeID);
    const restored = await importBackup(backup, target, firstNode(NodeID, "active"), timestamp(clock))
      .finally(() => target.stop());
    await Deno.rename(staging, `${stateDir}/raft`);
    await systemFileSystem.syncFolder(stateDir);
    return { ...restored, NodeID };
  } catch (thrown) {
    await removeFolder(staging);
    throw thrown;
  }
}

async function refuseUsed(stateDir: string): Promise<void> {
  for (const name of TRACES) {
    if (!await exists(`${stateDir}/${name}`)) continue;
    throw new CoveyError(
      "failed_precondition",
      `Cannot restore to ${stateDir}: it is not empty, ${name} of a cluster is there`,
    );
  }
}

async function removeFolder(path: string): Promise<void> {
  await Deno.remove(path, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
}
