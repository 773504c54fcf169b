/** What a member's driver is handed, and where its output goes. */
import type { Clock } from "../../../api/clock.ts";
import type { MemberAddress } from "../disk/disk_storage.ts";
import type { Message, RaftConfig } from "../../raft/mod.ts";
import type { CheckpointLimits } from "./checkpointer.ts";
import type { RaftDisk } from "../disk/raft_disk.ts";

/** Where the driver's output goes. All are called synchronously; none may call the driver back in the same turn. */
export interface DriverHooks {
  /** Messages to send, in order for each receiver. */
  send(messages: readonly Message[]): void;
  /** Leader, term, members or leadership may have changed. */
  changed(): void;
  /** A tick has passed. */
  ticked(): void;
  /** By its own log this member was removed. */
  removed(): void;
  /** The member has stopped: its disk or its state machine failed. */
  failed(error: Error): void;
}

/** What a member keeps on disk; entries have a bound in bytes too. */
export interface LogLimits {
  /** Until the next checkpoint is due. */
  checkpointEntries: number;
  /** Behind a checkpoint, for followers that are a little late. */
  keptEntries: number;
  /** Checkpoints before the present one. */
  oldSnapshots: number;
}

/** What a driver works with. */
export interface DriverOptions {
  disk: RaftDisk;
  self: MemberAddress;
  config: RaftConfig;
  clock: Clock;
  hooks: DriverHooks;
  limits: CheckpointLimits;
}
