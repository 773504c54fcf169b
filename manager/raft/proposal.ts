/** Taking in what the application wants to have in the log. */

import { invariant } from "./invariant.ts";
import { appendOwn } from "./replication.ts";
import type { RaftState } from "./state.ts";
import { type Entry, ENTRY_OVERHEAD_BYTES, entrySize, NO_MEMBER } from "./types.ts";

/** Why proposals were refused. Nothing of them is in the log then. */
export type ProposalRefusal =
  /** Ask the leader, who is in the soft state; the core forwards nothing. */
  | "not_leader"
  /** Leadership is being handed over. Retry. */
  | "transferring"
  /** Too much is waiting to be committed. Retry. */
  | "too_much_uncommitted"
  /** One of them is larger than `maxEntryBytes`. */
  | "too_large";

/** The outcome of proposing: entries from `index` on have `term`; if another term is committed there, they are lost. */
export type ProposalResult =
  | { readonly ok: true; readonly index: number; readonly term: number }
  | { readonly ok: false; readonly reason: ProposalRefusal };

/** Appends one entry for each of `data`, or none. The bytes are not copied and must not change any more. */
export function propose(raft: RaftState, data: readonly Uint8Array[]): ProposalResult {
  invariant(data.length > 0, "something is proposed");
  if (raft.role !== "leader") return { ok: false, reason: "not_leader" };
  if (raft.transferTarget !== NO_MEMBER) return { ok: false, reason: "transferring" };
  const { maxEntryBytes, maxUncommittedBytes } = raft.config;
  let bytes = 0;
  for (const { length } of data) {
    if (length > maxEntryBytes) return { ok: false, reason: "too_large" };
    bytes += length + ENTRY_OVERHEAD_BYTES;
  }
  // The first proposal always goes through, so that the limit can never stop the cluster for good.
  if (
    maxUncommittedBytes > 0 && raft.uncommittedBytes > 0 &&
    raft.uncommittedBytes + bytes > maxUncommittedBytes
  ) {
    return { ok: false, reason: "too_much_uncommitted" };
  }
  raft.uncommittedBytes += bytes;
  const index = appendOwn(raft, data.map((data) => ({ type: "normal", data })));
  return { ok: true, index, term: raft.term };
}

/** Entries were handed out as committed: they make room for new ones. */
export function releaseUncommitted(raft: RaftState, entries: readonly Entry[]): void {
  if (raft.role !== "leader" || raft.uncommittedBytes === 0) return;
  for (const entry of entries) {
    const own = entry.type === "normal" && entry.index >= raft.uncommittedFrom;
    if (own) raft.uncommittedBytes -= entrySize(entry);
  }
  invariant(raft.uncommittedBytes >= 0, "uncommitted bytes are not negative", raft.uncommittedBytes);
}
