/** The passing of time, in ticks. */

import { campaign, canCampaign, quorumActive } from "./election.ts";
import { invariant } from "./invariant.ts";
import { sendHeartbeats } from "./replication.ts";
import { becomeFollower } from "./roles.ts";
import type { RaftState } from "./state.ts";
import { tickTransfer } from "./transfer.ts";
import { NO_MEMBER } from "./types.ts";

function tickLeader(raft: RaftState, writeTicks: number): void {
  const { checkQuorum, heartbeatTicks, maxWriteTicks } = raft.config;
  invariant(writeTicks >= 0, "a write does not end before it starts", writeTicks);
  tickTransfer(raft);
  if (checkQuorum && !quorumActive(raft)) return becomeFollower(raft, raft.term, NO_MEMBER);
  // A leader whose disk hangs can still commit, but neither apply nor serve.
  if (maxWriteTicks > 0 && writeTicks > maxWriteTicks) return becomeFollower(raft, raft.term, NO_MEMBER);
  if (++raft.heartbeatElapsed >= heartbeatTicks) sendHeartbeats(raft);
}

/**
 * One tick has passed.
 *
 * @param writeTicks ticks since the write that is out was handed out; 0 if none is
 */
export function tick(raft: RaftState, writeTicks: number): void {
  raft.tick++;
  if (raft.role === "leader") return tickLeader(raft, writeTicks);
  invariant(raft.transferTarget === NO_MEMBER, "only a leader transfers", raft.transferTarget);
  if (++raft.electionElapsed < raft.electionTimeout || !canCampaign(raft)) return;
  raft.electionElapsed = 0;
  campaign(raft);
}
