/** The quorum as the cluster's spec sets it: its timing, and how much its logs keep. */
import { clusterOf } from "../cluster/cluster_object.ts";
import { type ClusterSpec, MAX_ELECTION_TICK } from "../../api/cluster.ts";
import { DEFAULT_RAFT_CONFIG, type RaftTiming } from "../raft/mod.ts";
import type { RaftMember } from "../consensus/member/mod.ts";
import type { Store } from "../store/store.ts";

/**
 * Raft's own number is the shortest wait, the spec's the longest, which is below twice the shortest. The API takes any
 * numbers, as Docker does: what is in force fits together, the shortest wait outlasting a heartbeat.
 */
export function raftTiming({ ElectionTick, HeartbeatTick }: ClusterSpec["Raft"]): RaftTiming {
  const longest = Math.ceil(MAX_ELECTION_TICK / 2);
  const heartbeatTicks = Math.min(HeartbeatTick, longest - 1);
  const electionTicks = Math.min(Math.max(Math.ceil(ElectionTick / 2), heartbeatTicks + 1), longest);
  return { electionTicks, heartbeatTicks };
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
    const { SnapshotInterval, LogEntriesForSlowFollowers, KeepOldSnapshots } = cluster.Spec.Raft;
    member.limitLog({
      checkpointEntries: SnapshotInterval,
      keptEntries: LogEntriesForSlowFollowers,
      oldSnapshots: KeepOldSnapshots,
    });
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
