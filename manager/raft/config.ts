import type { FieldProblem } from "../../api/errors.ts";
import type { MemberID } from "./types.ts";

/** Everything the core can be told when it starts. Ticks are the caller's; the core knows no other time. */
export interface RaftConfig {
  /** This member. Never zero, never used before by another one or by a wiped one. */
  readonly id: MemberID;
  /**
   * Ticks without a leader before campaigning; each time drawn anew from [electionTicks, 2 * electionTicks). Also the
   * lease in which votes are ignored, the check-quorum interval and the limit of a leadership transfer. Must be
   * greater than `heartbeatTicks`, better five times as much; zero is refused.
   */
  readonly electionTicks: number;
  /** Ticks between two heartbeats of a leader. Zero is refused. */
  readonly heartbeatTicks: number;
  /** Ask before campaigning. Off only for clusters that mix versions. */
  readonly preVote: boolean;
  /** A leader that hears no majority steps down; votes are ignored while a leader is heard of. */
  readonly checkQuorum: boolean;
  /** Bytes of entries in one append message; a single bigger entry still travels. Zero: one entry a message. */
  readonly maxMessageBytes: number;
  /** Append messages on the way to one follower. Zero is refused. */
  readonly maxInflightMessages: number;
  /** Bytes of entries on the way to one follower; at least `maxMessageBytes`. Zero: only messages are limited. */
  readonly maxInflightBytes: number;
  /** Bytes of one proposal. Zero is refused; together with overhead not above `maxUncommittedBytes`. */
  readonly maxEntryBytes: number;
  /** Bytes that a leader takes in without having them committed and handed out. Zero: no limit. */
  readonly maxUncommittedBytes: number;
  /** Bytes of committed entries in one Ready; a single bigger entry still comes. Zero: one entry at a time. */
  readonly maxCommittedBytes: number;
  /** Reads waiting for confirmation. Zero: all reads are refused. */
  readonly maxPendingReads: number;
  /** How many entries a learner may lack when it is promoted. Zero: none. */
  readonly maxPromotionLag: number;
  /** Ticks a leader waits for its own disk before it steps down. Zero: forever. */
  readonly maxWriteTicks: number;
  /** Uniform in [0, 1); the core's only source of randomness. */
  readonly random: () => number;
}

/** What may change while a member runs. */
export type RaftTiming = Pick<RaftConfig, "electionTicks" | "heartbeatTicks">;

/** Everything but the identity and the randomness, for managers on a LAN with ticks of 100 ms. */
export const DEFAULT_RAFT_CONFIG: Omit<RaftConfig, "id" | "random"> = {
  electionTicks: 5,
  heartbeatTicks: 1,
  preVote: true,
  checkQuorum: true,
  maxMessageBytes: 512 * 1024,
  maxInflightMessages: 256,
  maxInflightBytes: 8 * 1024 * 1024,
  maxEntryBytes: 1536 * 1024,
  maxUncommittedBytes: 64 * 1024 * 1024,
  maxCommittedBytes: 4 * 1024 * 1024,
  maxPendingReads: 4096,
  maxPromotionLag: 1000,
  maxWriteTicks: 50,
};

const POSITIVE = ["id", "electionTicks", "heartbeatTicks", "maxInflightMessages", "maxEntryBytes"] as const;
const COUNTS = [
  "maxMessageBytes",
  "maxInflightBytes",
  "maxUncommittedBytes",
  "maxCommittedBytes",
  "maxPendingReads",
  "maxPromotionLag",
  "maxWriteTicks",
] as const;

/** All problems of `config`, none if it can be used. */
export function validateRaftConfig(config: RaftConfig): FieldProblem[] {
  const problems: FieldProblem[] = [];
  const wrong = (field: keyof RaftConfig, message: string) => problems.push({ field, message });
  for (const field of POSITIVE) {
    const value = config[field];
    if (!Number.isSafeInteger(value) || value < 1) wrong(field, `must be a positive integer, is ${value}`);
  }
  for (const field of COUNTS) {
    const value = config[field];
    if (!Number.isSafeInteger(value) || value < 0) {
      wrong(field, `must be zero or a positive integer, is ${value}`);
    }
  }
  if (config.electionTicks <= config.heartbeatTicks) {
    wrong(
      "electionTicks",
      `must be greater than heartbeatTicks, ${config.heartbeatTicks}, is ${config.electionTicks}`,
    );
  }
  if (config.maxInflightBytes > 0 && config.maxInflightBytes < config.maxMessageBytes) {
    wrong("maxInflightBytes", `must be at least maxMessageBytes, ${config.maxMessageBytes}`);
  }
  if (config.maxUncommittedBytes > 0 && config.maxUncommittedBytes < config.maxEntryBytes) {
    wrong("maxUncommittedBytes", `must be at least maxEntryBytes, ${config.maxEntryBytes}`);
  }
  if (typeof config.random !== "function") wrong("random", "must be a function");
  return problems;
}
