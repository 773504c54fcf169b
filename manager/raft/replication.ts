/** The sending half of log replication (paper 5.3): what a leader sends to its followers, and how fast. */

import { members } from "./conf_change.ts";
import { invariant } from "./invariant.ts";
import type { Message } from "./messages.ts";
import type { RaftState, Unsent } from "./state.ts";
import { type Entry, entrySize, type MemberID } from "./types.ts";

function trySendSnapshot(raft: RaftState, to: MemberID): boolean {
  const progress = raft.progressOf(to);
  // A member that is silent gets no snapshot: making and sending it would be for nothing.
  if (!raft.isActive(to)) return false;
  const snapshot = raft.snapshot(to);
  if (!snapshot || snapshot.index <= progress.match) return false;
  invariant(snapshot.index >= raft.log.firstIndex - 1, "the log goes on after a snapshot", snapshot.index);
  progress.becomeSnapshot(snapshot.index);
  raft.send({ type: "snapshot", to, snapshot });
  return true;
}

/**
 * Sends the next entries, or a snapshot, if the follower's state allows it.
 *
 * @param evenEmpty send a message without entries too, to probe or to tell the commit index
 * @returns whether something was sent
 */
export function trySendAppend(raft: RaftState, to: MemberID, evenEmpty: boolean): boolean {
  return trySend(raft, to, evenEmpty, raft.publicCommit, (message) => raft.send(message));
}

/** Tells a member of the commit index as soon as this member has stored it. */
export function announceTo(raft: RaftState, to: MemberID): void {
  trySend(raft, to, true, raft.log.committed, (message) => raft.sendAfterWrite(message));
}

function trySend(
  raft: RaftState,
  to: MemberID,
  evenEmpty: boolean,
  commit: number,
  send: (message: Unsent<Message>) => void,
): boolean {
  invariant(raft.role === "leader", "only a leader sends entries", raft.role);
  const progress = raft.progressOf(to);
  if (progress.isPaused()) return false;
  const prevIndex = progress.next - 1;
  const prevTerm = raft.log.term(prevIndex);
  if (prevTerm === undefined) return trySendSnapshot(raft, to);

  let entries: readonly Entry[] = [];
  if (!progress.inflights.full && prevIndex < raft.log.lastIndex) {
    entries = raft.log.entries(progress.next, raft.config.maxMessageBytes);
  }
  if (entries.length === 0 && !evenEmpty) return false;
  let bytes = 0;
  for (const entry of entries) bytes += entrySize(entry);
  progress.sent(entries.length, bytes, commit);
  send({ type: "append", to, prevIndex, prevTerm, entries, commit });
  return true;
}

/** Sends everything that the windows allow. Called once for each Ready, so that proposals share messages. */
export function replicate(raft: RaftState): void {
  if (raft.role !== "leader") return;
  for (const [id, progress] of raft.progress) {
    if (id === raft.id) continue;
    let sent = trySendAppend(raft, id, progress.wantsCommit(raft.publicCommit));
    while (sent) sent = trySendAppend(raft, id, false);
  }
}

/** Sends a heartbeat to everybody, with the newest read round. */
export function sendHeartbeats(raft: RaftState): void {
  invariant(raft.role === "leader", "only a leader sends heartbeats", raft.role);
  raft.heartbeatElapsed = 0;
  const readRound = raft.pendingReads.length > 0 ? raft.readRound : 0;
  for (const [id, progress] of raft.progress) {
    if (id === raft.id) continue;
    // The commit index must not run ahead of what the follower is known to hold: it could hold something else there.
    const commit = Math.min(progress.match, raft.publicCommit);
    raft.send({ type: "heartbeat", to: id, commit, readRound });
  }
}

/** Puts new entries of this leader's term at the end of its log. They are sent with the next Ready. */
export function appendOwn(raft: RaftState, entries: readonly Pick<Entry, "type" | "data">[]): number {
  invariant(raft.role === "leader", "only a leader appends", raft.role);
  let index = raft.log.lastIndex;
  const from = index + 1;
  const { term } = raft;
  const own = entries.map(({ type, data }) => ({ index: ++index, term, type, data }));
  raft.log.append(own);
  for (const entry of own) if (entry.type === "conf_change") raft.openConfChanges.push(entry.index);
  invariant(raft.log.lastIndex === index, "all entries were appended", raft.log.lastIndex, index);
  return from;
}

/** Makes the leader track exactly the members, new ones from the end of its log on. */
export function trackMembers(raft: RaftState): void {
  const ids = members(raft.conf);
  for (const id of raft.progress.keys()) if (!ids.includes(id)) raft.progress.delete(id);
  for (const id of ids) if (!raft.progress.has(id)) raft.progress.set(id, raft.newProgress());
  invariant(
    raft.progress.size === ids.length,
    "every member is tracked once",
    raft.progress.size,
    ids.length,
  );
}
