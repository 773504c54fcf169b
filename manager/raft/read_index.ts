/**
 * Linearizable reads without a log entry (dissertation 6.4): the leader notes its commit index, confirms by a round of
 * heartbeats that it still leads, and lets the reader go on once that index is applied. No clock is trusted.
 */

import { invariant } from "./invariant.ts";
import { quorumIndex } from "./quorum.ts";
import type { PendingRead, RaftState } from "./state.ts";
import { type MemberID, NO_MEMBER } from "./types.ts";

/** Why a read was refused; all of them can be tried again later. */
export type ReadRefusal = "no_leader" | "too_many_reads";

/** The outcome of asking for a read: its `id` comes back in `Ready.reads` or `Ready.lostReads`. */
export type ReadResult = { readonly ok: true; readonly id: number } | {
  readonly ok: false;
  readonly reason: ReadRefusal;
};

/** The index is 0 while the leader does not know the commit index for certain. */
function addRead(raft: RaftState, id: number, from: MemberID): boolean {
  invariant(raft.role === "leader", "only a leader confirms reads", raft.role);
  if (raft.pendingReads.length >= raft.config.maxPendingReads) return false;
  const index = raft.hasCommittedInTerm() ? raft.log.committed : 0;
  raft.pendingReads.push({ id, from, index, round: 0 });
  return true;
}

/** Asks for a read of this member. */
export function readIndex(raft: RaftState): ReadResult {
  if (raft.leader === NO_MEMBER) return { ok: false, reason: "no_leader" };
  const id = raft.nextReadID;
  if (raft.role === "leader") {
    if (!addRead(raft, id, raft.id)) return { ok: false, reason: "too_many_reads" };
  } else {
    if (raft.forwardedReads.size >= raft.config.maxPendingReads) {
      return { ok: false, reason: "too_many_reads" };
    }
    raft.forwardedReads.add(id);
    raft.send({ type: "read_index", to: raft.leader, id });
  }
  raft.nextReadID++;
  invariant(raft.nextReadID > id, "read IDs grow", id);
  return { ok: true, id };
}

/** A follower asks. What cannot be served is dropped; the follower's caller has a timeout. */
export function handleReadIndex(raft: RaftState, from: MemberID, id: number): void {
  if (raft.role === "leader") addRead(raft, id, from);
}

/** The leader answers. */
export function handleReadIndexResponse(raft: RaftState, from: MemberID, id: number, index: number): void {
  if (from !== raft.leader || !raft.forwardedReads.delete(id)) return;
  invariant(index > 0, "a confirmed read has an index", index);
  raft.reads.push({ id, index });
}

/** The caller does not wait for this read any more. */
export function forgetRead(raft: RaftState, id: number): void {
  raft.forwardedReads.delete(id);
  raft.pendingReads = raft.pendingReads.filter((read) => read.id !== id || read.from !== raft.id);
}

/** An own entry is committed: reads that waited for it get their index. */
export function startWaitingReads(raft: RaftState): void {
  if (!raft.hasCommittedInTerm()) return;
  raft.pendingReads = raft.pendingReads.map((read) =>
    read.index === 0 ? { ...read, index: raft.log.committed } : read
  );
}

/**
 * Gives reads that came since the last round a round of their own.
 * @returns whether heartbeats must be sent for it
 */
export function startReadRound(raft: RaftState): boolean {
  if (raft.role !== "leader") return false;
  let started = false;
  for (let i = raft.pendingReads.length - 1; i >= 0; i--) {
    const read = raft.pendingReads[i]!;
    if (read.round > 0 || read.index === 0) break;
    read.round = raft.readRound + 1;
    started = true;
  }
  if (!started) return false;
  raft.readRound++;
  const own = raft.progress.get(raft.id);
  if (own) own.readRound = raft.readRound;
  releaseReads(raft);
  return raft.pendingReads.length > 0;
}

function answer(raft: RaftState, read: PendingRead): void {
  invariant(read.index > 0 && read.round > 0, "an answered read was confirmed", read.index, read.round);
  if (read.from === raft.id) raft.reads.push({ id: read.id, index: read.index });
  else raft.send({ type: "read_index_response", to: read.from, id: read.id, index: read.index });
}

/** Answers all reads whose round a majority has confirmed. */
export function releaseReads(raft: RaftState): void {
  if (raft.pendingReads.length === 0) return;
  const confirmed = quorumIndex(raft.conf, (id) => raft.progress.get(id)?.readRound ?? 0);
  invariant(confirmed <= raft.readRound, "no round is confirmed before it starts", confirmed, raft.readRound);
  const waiting: PendingRead[] = [];
  for (const read of raft.pendingReads) {
    if (read.round > 0 && read.round <= confirmed) answer(raft, read);
    else waiting.push(read);
  }
  raft.pendingReads = waiting;
}
