/** Majorities, also joint ones. All functions are pure. */

import { invariant } from "./invariant.ts";
import type { ConfState, MemberID } from "./types.ts";

/** How a vote stands. */
export type VoteResult = "won" | "lost" | "pending";

/** The members whose majorities are needed. */
export type Voters = Pick<ConfState, "voters" | "votersOutgoing">;

/** How many of `voters` are a majority. */
export function majority(voters: number): number {
  invariant(voters >= 0, "voter count is not negative", voters);
  return Math.floor(voters / 2) + 1;
}

function majorityIndex(voters: readonly MemberID[], acknowledged: (id: MemberID) => number): number {
  // An empty half of a joint configuration decides nothing, so it must not hold the other half back.
  if (voters.length === 0) return Infinity;
  const sorted = voters.map(acknowledged).sort((a, b) => b - a);
  const index = sorted[majority(voters.length) - 1]!;
  invariant(index >= 0, "acknowledged index is not negative", index);
  return index;
}

/** The highest index that a majority (of both halves) has acknowledged; 0 without voters. */
export function quorumIndex(conf: Voters, acknowledged: (id: MemberID) => number): number {
  const index = Math.min(
    majorityIndex(conf.voters, acknowledged),
    majorityIndex(conf.votersOutgoing, acknowledged),
  );
  return index === Infinity ? 0 : index;
}

function majorityVote(voters: readonly MemberID[], votes: (id: MemberID) => boolean | undefined): VoteResult {
  if (voters.length === 0) return "won";
  let [granted, open] = [0, 0];
  for (const id of voters) {
    const vote = votes(id);
    if (vote === true) granted++;
    else if (vote === undefined) open++;
  }
  const needed = majority(voters.length);
  if (granted >= needed) return "won";
  return granted + open >= needed ? "pending" : "lost";
}

/** How the vote stands; without voters nothing can be won. */
export function voteResult(conf: Voters, votes: (id: MemberID) => boolean | undefined): VoteResult {
  if (conf.voters.length === 0) return "lost";
  const incoming = majorityVote(conf.voters, votes);
  const outgoing = majorityVote(conf.votersOutgoing, votes);
  if (incoming === "lost" || outgoing === "lost") return "lost";
  return incoming === "won" && outgoing === "won" ? "won" : "pending";
}
