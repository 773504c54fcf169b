/** The quorum as the cluster's spec sets it: its timing, and how much its logs keep. */
import { clusterOf } from "../cluster/cluster_object.ts";
import type { ClusterSpec } from "../../api/cluster.ts";
import { DEFAULT_RAFT_CONFIG, type RaftTiming } from "../raft/mod.ts";
import type { RaftMember } from "../consensus/member/mod.ts";
import type { Store } from "../store/store.ts";

/**
 * Raft's own number is the shortest wait, the spec's the longest, which is below twice the shortest. The API lets in only
 * what fits together; a cluster that was restored may be older than that rule.
 */
export function raftTiming({ ElectionTick, HeartbeatTick }: ClusterSpec["Raft"]): RaftTiming {
  return {
    electionTicks: Math.max(Math.ceil(ElectionTick / 2), HeartbeatTick + 1),
    heartbeatTicks: HeartbeatTick,
  };
}

/** Keeps a member as the cluster object says; returns the way to stop. To be called once the state is loaded. */
export function followRaftSettings(
  member: Pick<RaftMember, "retime" | "limitLog">,
  store: Store,
): () => void {
  let { electionTicks, heartbeatTicks }: RaftTiming = DEFAULT_RAFT_CONFIG;
  const follow = () => {
    const cluster = clusterOf(store);
    if (!cluster) return;
    const { SnapshotInterval, LogEntriesForSlowFollowers } = cluster.Spec.Raft;
    member.limitLog({ checkpointEntries: SnapshotInterval, keptEntries: LogEntriesForSlowFollowers });
    const wanted = raftTiming(cluster.Spec.Raft);
    if (wanted.electionTicks === electionTicks && wanted.heartbeatTicks === heartbeatTicks) return;
    member.retime(wanted);
    ({ electionTicks, heartbeatTicks } = wanted);
  };
  follow();
  return store.subscribe(({ changes }) => {
    if (changes.some(({ table }) => table === "clusters")) follow();
  });
}
