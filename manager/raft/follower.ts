/** What a follower does with a leader's messages (paper 5.3, 7). */

import { members } from "./conf_change.ts";
import { commitTo } from "./commit.ts";
import { invariant } from "./invariant.ts";
import type { Append, Heartbeat, InstallSnapshot } from "./messages.ts";
import type { RaftState } from "./state.ts";
import type { MemberID, SnapshotMeta } from "./types.ts";

function acknowledge(raft: RaftState, to: MemberID, index: number): void {
  invariant(
    index <= raft.log.lastIndex,
    "only what is in the log is acknowledged",
    index,
    raft.log.lastIndex,
  );
  raft.sendAfterWrite({ type: "append_response", to, index, rejected: false, hintIndex: 0, hintTerm: 0 });
}

/** Takes over entries, or says where the logs may agree. */
export function handleAppend(raft: RaftState, message: Append): void {
  const { log } = raft;
  const { prevIndex, prevTerm, entries, from } = message;
  if (prevIndex < log.committed) return acknowledge(raft, from, log.committed);

  const fresh = log.merge(prevIndex, prevTerm, entries);
  if (fresh === undefined) {
    const hint = log.conflict(Math.min(prevIndex, log.lastIndex), prevTerm);
    invariant(hint.index <= prevIndex, "the hint is not beyond what was asked", hint.index, prevIndex);
    raft.sendAfterWrite({
      type: "append_response",
      to: from,
      index: prevIndex,
      rejected: true,
      hintIndex: hint.index,
      hintTerm: hint.term,
    });
    return;
  }
  if (fresh > 0) raft.noteConfChanges(fresh, entries);
  // What lies behind these entries was not compared with the leader's log, so it must not be committed.
  const verified = prevIndex + entries.length;
  commitTo(raft, Math.min(message.commit, verified));
  invariant(
    raft.openConfChanges.length <= 1,
    "a change follows a committed change",
    raft.openConfChanges.length,
  );
  acknowledge(raft, from, verified);
}

/** Notes the commit index and answers at once: leadership is confirmed by the term alone. */
export function handleHeartbeat(raft: RaftState, message: Heartbeat): void {
  invariant(
    message.commit <= raft.log.lastIndex,
    "nothing that was acknowledged is missing: was the storage lost?",
    raft.log.lastIndex,
    message.commit,
  );
  commitTo(raft, message.commit);
  raft.send({ type: "heartbeat_response", to: message.from, readRound: message.readRound });
}

function restore(raft: RaftState, snapshot: SnapshotMeta): boolean {
  const { log } = raft;
  if (snapshot.index <= log.committed) return false;
  // A snapshot in which this member does not occur is not for it. Its own membership says nothing: a new one has none yet.
  if (!members(snapshot.confState).includes(raft.id)) return false;
  if (log.matches(snapshot.index, snapshot.term)) {
    commitTo(raft, snapshot.index);
    return false;
  }
  log.restore(snapshot);
  raft.setConf(snapshot.confState);
  raft.openConfChanges = [];
  raft.confHistory = [];
  return true;
}

/** Installs a snapshot, unless it is old. */
export function handleSnapshot(raft: RaftState, message: InstallSnapshot): void {
  invariant(raft.role === "follower", "only a follower installs snapshots", raft.role);
  const restored = restore(raft, message.snapshot);
  acknowledge(raft, message.from, restored ? raft.log.lastIndex : raft.log.committed);
}
