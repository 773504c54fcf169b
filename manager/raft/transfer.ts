/** Leadership transfer (dissertation 3.10). */

import { invariant } from "./invariant.ts";
import { trySendAppend } from "./replication.ts";
import type { RaftState } from "./state.ts";
import { type MemberID, NO_MEMBER } from "./types.ts";

/** Why a transfer did not start. */
export type TransferRefusal = "not_leader" | "already_leader" | "not_a_voter";

/** The outcome of asking for a transfer; started is not done: watch the soft state. */
export type TransferResult = { readonly ok: true } | { readonly ok: false; readonly reason: TransferRefusal };

/** If `from` is the target and has everything, it may campaign now. */
export function finishTransfer(raft: RaftState, from: MemberID): void {
  if (raft.transferTarget !== from) return;
  if (raft.progressOf(from).match !== raft.log.lastIndex) return;
  raft.send({ type: "timeout_now", to: from });
}

/** Starts to hand leadership to `target`; proposals are refused until it has it, or the election timeout is over. */
export function transferLeadership(raft: RaftState, target: MemberID): TransferResult {
  if (raft.role !== "leader") return { ok: false, reason: "not_leader" };
  if (target === raft.id) return { ok: false, reason: "already_leader" };
  if (!raft.conf.voters.includes(target)) return { ok: false, reason: "not_a_voter" };
  if (raft.transferTarget === target) return { ok: true };
  raft.transferTarget = target;
  raft.transferElapsed = 0;
  invariant(raft.progress.has(target), "every voter is tracked", target);
  if (raft.progressOf(target).match === raft.log.lastIndex) finishTransfer(raft, target);
  else trySendAppend(raft, target, true);
  return { ok: true };
}

/** Ends an attempt that takes longer than an election would. */
export function tickTransfer(raft: RaftState): void {
  if (raft.transferTarget === NO_MEMBER) return;
  invariant(raft.role === "leader", "only a leader transfers", raft.role);
  if (++raft.transferElapsed >= raft.config.electionTicks) raft.transferTarget = NO_MEMBER;
}
