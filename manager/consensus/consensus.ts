/**
 * What the store needs of whatever makes entries durable and ordered: a Raft quorum, of one member or of many. The store
 * proposes bytes; every member applies the same bytes in the same order.
 */
import type { DirtyRecord, StateMachine } from "./state_machine.ts";

/** One manager as the consensus group knows it. */
export interface Member {
  /** Never reused, so that a wiped member cannot vote twice. */
  memberID: number;
  nodeID: string;
  /** HOST:PORT */
  address: string;
  learner: boolean;
  reachable: boolean;
}

/** A snapshot of where the group stands, as this member sees it. */
export interface ConsensusStatus {
  /** True from the moment this member may serve writes until it steps down. */
  isLeader: boolean;
  leaderNodeID: string | undefined;
  term: number;
  /** Index of the last entry given to the state machine. */
  appliedIndex: number;
  members: Member[];
}

/** The state as of an earlier checkpoint. */
export interface OldSnapshot {
  /** Index of the last entry that it contains. */
  index: number;
  /** When it was written, milliseconds since 1970. */
  writtenAt: number;
}

/** The earlier states that a member has kept on its disk. */
export interface OldStates {
  /** Oldest first. */
  readonly old: OldSnapshot[];
  /**
   * The records of one, of two with one key the older one first. Throws `not_found` if it is not kept, or not any more, and
   * `data_loss` if it is damaged.
   */
  readOld(index: number): AsyncIterable<DirtyRecord>;
}

/** An ordered, durable log of entries. */
export interface Consensus {
  /**
   * Loads what is stored into `machine`, then takes part in the group. Throws `data_loss` on a damaged
   * record.
   */
  start(machine: StateMachine): Promise<void>;
  /**
   * Commits one entry. Resolves with its index once it is durable on a quorum and applied to the state
   * machine here. Rejects with `unavailable` (not leader, nothing was proposed), `unknown` (leadership
   * lost: it may or may not be committed), `resource_exhausted` (too much waits uncommitted) or `data_loss`
   * (the disk failed; the member has stopped).
   *
   * @param local handed to `StateMachine.apply` of this member as it is, to spare it the decoding.
   */
  propose(entry: Uint8Array, local?: unknown): Promise<number>;
  /**
   * Resolves when the local state contains everything acknowledged before the call (a linearizable read
   * barrier).
   */
  readBarrier(): Promise<void>;
  status(): ConsensusStatus;
  /** None before the start, and of a log that keeps none. */
  readonly states?: OldStates | undefined;
  /** Calls `listener` whenever `status()` changes in anything but `appliedIndex`; returns the way to stop. */
  subscribe(listener: (status: ConsensusStatus) => void): () => void;
  /** Resolves with the error when this member has stopped by itself (a failed disk); never otherwise. */
  readonly failed: Promise<Error>;
  /** Finishes what is in flight and releases the disk. */
  stop(): Promise<void>;
}

/** Bytes of one entry: above it, split the transaction (SwarmKit: 1.5 MiB). */
export const MAX_ENTRY_BYTES = 1.5 * 1024 * 1024;
