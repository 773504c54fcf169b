/**
 * The Raft core: input is one message, tick or proposal; output is a {@linkcode Ready}. It has no clock, no randomness of
 * its own, no `await`, and touches neither network nor disk. The caller (the driver) has these duties:
 *
 *  1. Call `tick()` at a steady rate, `step()` for every message that arrives, and after each call, or after a few of
 *     them, `ready()` while `hasReady()` is true. One caller at a time; never from within another call.
 *  2. Store `ready.write` in one atomic, synced write: first the snapshot, which replaces the whole log, then the
 *     entries, which replace everything from the first one on, and the hard state. Entries must never become durable
 *     without the hard state of their batch. If that fails in any way, stop the node; never try again.
 *  3. Make the storage show the batch, then call `persisted()`, and only then send `write.messages`. Until then
 *     `ready()` may be called: it hands out no second batch.
 *  4. Send `ready.messages` at once, even while a batch is being written. Messages may be lost, repeated and reordered;
 *     sending to one member in order is faster. Never let one member's queue hold up another's: drop instead.
 *  5. For a `snapshot` message, transfer the data that belongs to its metadata, and report the outcome with
 *     `reportSnapshot()`, always. At the receiver, call `step()` when the data is complete and verified.
 *  6. Call `reportUnreachable()` when messages to a member were dropped or its connection broke, and `reportLost()` when
 *     the connection broke over which a member's messages came: a leader that died need not be waited for.
 *  7. Apply `ready.committed` in order, all of it, then call `applied()`. An entry with no data is a no-op; the data of a
 *     `conf_change` is the core's. The core hands out nothing that is not stored locally, and no
 *     membership change before it is stored that it is committed.
 *  8. Store the applied index and the membership after it (`ready.confState`, if it changed) in one atomic write with the
 *     application's state; both come back through `initialState()`. A snapshot in `write` brings its own.
 *  9. Compact the log only up to what is so stored, and keep some entries for slow followers. A snapshot
 *     that can be sent must not be older than the first entry kept.
 * 10. Answer a proposal when its index is applied: with success if the term is the one that `propose()` returned, as lost
 *     otherwise. When leadership is lost before that, the outcome is unknown, not failed.
 * 11. Serve a read when the index in `ready.reads` is applied; give up waiting with `forgetRead()`. A read that comes
 *     back in `lostReads`, or not at all, may be asked for again: it gets a new id.
 * 12. Give every member a random id that no member of the cluster ever had. A member whose storage was lost or damaged
 *     must start with a new one: its old vote and entries were counted on.
 * 13. When `step()` returns `removed_sender`, tell the sender that it is out.
 * 14. A new cluster starts from `bootstrap()`, stored like any batch; a joining member starts from nothing, and is added
 *     as a learner by the leader. A member that is the only voter may `campaign()` at once. After a majority is lost for good, `forceSingleMember()` makes a survivor the cluster.
 * 15. A {@linkcode RaftInvariantError} is final: stop the node, keep its files for examination.
 *
 * @module
 */

export { type ConfChange, decodeConfChange, type MemberChange } from "./conf_change.ts";
export { DEFAULT_RAFT_CONFIG, type RaftConfig, type RaftTiming, validateRaftConfig } from "./config.ts";

export { RaftInvariantError } from "./invariant.ts";
export type { ConfChangeRefusal, ConfChangeResult } from "./membership.ts";
export { MemoryStorage } from "./memory_storage.ts";
export type { Message } from "./messages.ts";
export { bootstrap, forceSingleMember } from "./offline.ts";
export type { ProposalRefusal, ProposalResult } from "./proposal.ts";
export { quorumIndex } from "./quorum.ts";
export { RawNode } from "./raw_node.ts";
export type { ReadRefusal, ReadResult } from "./read_index.ts";
export type { Ready, WriteBatch } from "./ready.ts";
export type { MemberStatus, RaftStatus } from "./status.ts";
export type { StepOutcome } from "./step.ts";
export { EMPTY_CONF_STATE, type InitialState, type Storage } from "./storage.ts";
export type { TransferRefusal, TransferResult } from "./transfer.ts";
export * from "./types.ts";
