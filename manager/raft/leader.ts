/** What a leader does with its followers' answers (paper 5.3) and with what the caller reports about them. */

import { maybeCommit } from "./commit.ts";
import { invariant } from "./invariant.ts";
import type { AppendResponse, HeartbeatResponse } from "./messages.ts";
import type { Progress } from "./progress.ts";
import { releaseReads } from "./read_index.ts";
import { trySendAppend } from "./replication.ts";
import type { RaftState } from "./state.ts";
import { finishTransfer } from "./transfer.ts";
import type { MemberID } from "./types.ts";

function handleRejection(raft: RaftState, progress: Progress, message: AppendResponse): void {
  const { index, hintIndex, hintTerm, from } = message;
  // Entries of the follower above hintIndex have terms above hintTerm or equal; skip what cannot agree in one step.
  const inLog = Math.min(hintIndex, raft.log.lastIndex);
  const probe = hintTerm > 0 ? raft.log.conflict(inLog, hintTerm).index : inLog;
  if (progress.reject(index, probe)) trySendAppend(raft, from, true);
}

function handleAcceptance(raft: RaftState, progress: Progress, message: AppendResponse): void {
  const { index, from } = message;
  invariant(
    index <= raft.log.lastIndex,
    "a follower holds nothing that its leader lacks",
    index,
    raft.log.lastIndex,
  );
  // Index 0 acknowledges nothing: a member sent it to tell of its newer term, before this one led that term (step.ts).
  if (index === 0) return;
  const news = progress.accept(index);
  // An answer without news still ends the probing: a follower that has everything would be probed for ever.
  if (!news && !(progress.match === index && progress.state === "probe")) return;
  if (progress.state === "probe") {
    progress.becomeReplicate();
  } else if (progress.state === "snapshot") {
    if (progress.match + 1 >= raft.log.firstIndex) {
      progress.becomeProbe();
      progress.becomeReplicate();
    }
  } else {
    progress.inflights.freeTo(index);
  }
  invariant(progress.match >= index, "what was accepted is noted", progress.match, index);
  maybeCommit(raft);
  if (raft.role !== "leader" || !raft.progress.has(from)) return;
  finishTransfer(raft, from);
}

/** A follower accepted or refused entries. */
export function handleAppendResponse(raft: RaftState, message: AppendResponse): void {
  const progress = raft.progress.get(message.from);
  if (!progress) return;
  progress.heard(raft.tick);
  if (message.rejected) handleRejection(raft, progress, message);
  else handleAcceptance(raft, progress, message);
}

/** A follower is alive: probe it again if it lacks something, and count its confirmation of reads. */
export function handleHeartbeatResponse(raft: RaftState, message: HeartbeatResponse): void {
  const progress = raft.progress.get(message.from);
  if (!progress) return;
  progress.heard(raft.tick);
  progress.paused = false;
  const lagging = progress.match < raft.log.lastIndex || progress.state === "probe";
  if (lagging) trySendAppend(raft, message.from, true);
  if (message.readRound > progress.readRound) {
    invariant(message.readRound <= raft.readRound, "only started rounds are confirmed", message.readRound);
    progress.readRound = message.readRound;
    releaseReads(raft);
  }
}

/** The transport lost messages to `id`: no more pipelining until it answers. */
export function reportUnreachable(raft: RaftState, id: MemberID): void {
  const progress = raft.progress.get(id);
  if (progress?.state === "replicate" && id !== raft.id) progress.becomeProbe();
}

/** The snapshot for `id` has arrived, or failed. Either way it is probed after its next sign of life. */
export function reportSnapshot(raft: RaftState, id: MemberID, arrived: boolean): void {
  const progress = raft.progress.get(id);
  if (progress?.state !== "snapshot") return;
  if (!arrived) progress.pendingSnapshot = 0;
  progress.becomeProbe();
  progress.paused = true;
  invariant(progress.next > progress.match, "next is beyond match", progress.next, progress.match);
}
