/** Rollouts: an update of a service as it goes through a fleet, stage by stage. Extensions of the Engine API, in its style. */

import type { MaintenanceWindow } from "./window.ts";

/**
 * One stage of a rollout: `Percent` of the fleet, or the devices that meet `Constraint`, each on top of the stages before.
 * Durations in nanoseconds.
 *
 * @example
 * ```ts
 * const canary: RolloutStage = { Percent: 1, Bake: 600e9, Promotion: "manual" };
 * const early: RolloutStage = { Constraint: "node.labels.ring==early", FailureThreshold: 0.1 };
 * ```
 */
export interface RolloutStage {
  Percent?: number;
  Constraint?: string;
  /**
   * Share of the stage's devices that must do well, those that vanish meanwhile included; by default, the failure threshold
   * alone decides.
   */
  SuccessThreshold?: number;
  /** Share of the stage's devices that may fail; default the update's `MaxFailureRatio`. */
  FailureThreshold?: number;
  /** How long the stage is watched once all its devices are updated. */
  Bake?: number;
  /** How long the stage may take before the rollout stops; 0 or none for ever. */
  Timeout?: number;
  /** Whether the next stage waits for somebody to say so; default `automatic`. */
  Promotion?: "automatic" | "manual";
}

/**
 * How many of the devices that share a label may be without the service at a time, for whatever reason: offline, failed,
 * being updated or not yet proven, drained. One of the two maxima is given; of a percentage, the whole devices count.
 *
 * @example
 * ```ts
 * const perSite: FailureBudget = { Label: "node.labels.site", MaxDown: 1 };
 * const perRegion: FailureBudget = { Label: "node.labels.region", MaxDownPercent: 10 };
 * ```
 */
export interface FailureBudget {
  /** `node.labels.…` or `engine.labels.…`. A device without the label is in no group. */
  Label: string;
  MaxDown?: number;
  MaxDownPercent?: number;
}

/**
 * How an update goes through a fleet.
 *
 * @example
 * ```ts
 * const rollout: RolloutConfig = { Stages: [{ Percent: 10, Bake: 60e9 }, { Percent: 100 }], MaxReturneeFailures: 3 };
 * ```
 */
export interface RolloutConfig {
  Stages?: RolloutStage[];
  /** Failures among devices that come back after the rollout before it holds for the others; default by the ratio. */
  MaxReturneeFailures?: number;
  /** All hold at the same time, so that groups may lie within groups. */
  Budgets?: FailureBudget[];
  /**
   * Nanoseconds that the new version may take to get healthy on a device before the device goes back to the old one by
   * itself, manager or not; none: it does not go back.
   */
  DeviceRollback?: number;
  /** When devices make the new version ready; default at any time. Needs `DeviceRollback`, as the next two do. */
  Download?: MaintenanceWindow;
  /** When devices bring the new version in. */
  Apply?: MaintenanceWindow;
  /** Whether somebody at the device has to agree before. */
  Consent?: boolean;
}

/**
 * Where a rollout stands. `paused`, `timed_out` and `aborted` are all `paused` to Docker's clients.
 *
 *     rolling ──► baking ──► awaiting_promotion ──► rolling (next stage) … ──► completed
 *        └───────────┴──────────────┴──► paused, timed_out (resume goes on) or aborted (final)
 */
export type RolloutState =
  | "rolling"
  | "baking"
  | "awaiting_promotion"
  | "paused"
  | "timed_out"
  | "aborted"
  | "completed";

/** A place (a device's node ID, or a slot) in which the new version failed. */
export interface RolloutFailure {
  Place: string;
  Stage: number;
  /** It came back when the rollout was over. */
  Returned?: boolean;
  /** Somebody resumed the rollout in spite of it. */
  Forgiven?: boolean;
}

/** Progress of a rollout. Part of the service, so that every leader and every client sees the same. */
export interface Rollout {
  /** Tells the rollouts of one service apart; the tasks that it makes carry it. */
  Number: number;
  /** Of the spec that is rolled out. */
  SpecVersion: number;
  State: RolloutState;
  /** From 0. */
  Stage: number;
  StageStartedAt: string;
  BakeStartedAt?: string;
  /** Places of the rollout but the deferred ones and those that came back after its end. */
  Total: number;
  Done: number;
  /** Of all places that failed; no more than a named maximum of them are listed. */
  Failed: number;
  Failures: RolloutFailure[];
  /** Places that wait for a device that is offline or paused. */
  Deferred: number;
  Returned: { Total: number; Failed: number };
  /** It was completed once; a pause since then holds those that come back. */
  Ended?: true;
  /** Places whose failed task shall be tried once more. */
  Retry?: string[];
}

/** What a task keeps of the rollout that made it. */
export interface RolloutMark {
  Number: number;
  Stage: number;
  Returned?: boolean;
  /** It follows a task of the rollout that ended, so that its own end says nothing new. */
  Restarted?: boolean;
}
