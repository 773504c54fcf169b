/**
 * Task states and their order (SwarmKit `api.TaskState`). An observed state never goes back.
 *
 *     new -> pending -> assigned -> accepted -> preparing -> ready -> starting -> running
 *     '------- manager -------'    '--------------------- agent ---------------------'
 *
 *     preparing         -> rejected   it cannot be made ready here, or its node may not have it any more
 *     starting, running -> failed     it could not start, or ended with an error
 *     running           -> complete   it ended well
 *     from assigned on  -> shutdown   it was to end
 *     from assigned on  -> orphaned   its node is gone for good
 *
 * These five are terminal. The desired state never goes back either: `ready -> running -> shutdown -> remove`, for a job's
 * task `ready -> complete -> shutdown -> remove`; `remove` is a desired state only.
 */

/**
 * Every task state with SwarmKit's number.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * assert.equal(TASK_STATES.running, 512);
 * ```
 */
export const TASK_STATES = {
  new: 0,
  pending: 64,
  assigned: 192,
  accepted: 256,
  preparing: 320,
  ready: 384,
  starting: 448,
  running: 512,
  complete: 576,
  shutdown: 640,
  failed: 704,
  rejected: 768,
  remove: 800,
  orphaned: 832,
} as const;

/**
 * A task's observed or desired state, spelled as the Docker Engine API spells it.
 *
 * @example
 * ```ts
 * const wanted: TaskState = "running";
 * ```
 */
export type TaskState = keyof typeof TASK_STATES;

/** SwarmKit's number of a state; a larger one is later in a task's life. */
export function stateOrder(state: TaskState): number {
  return TASK_STATES[state];
}

/**
 * Negative, zero or positive as `a` is before, equal to or after `b`.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * assert.ok(compareStates("assigned", "running") < 0);
 * assert.ok(compareStates("failed", "running") > 0);
 * ```
 */
export function compareStates(a: TaskState, b: TaskState): number {
  return TASK_STATES[a] - TASK_STATES[b];
}

/**
 * True once a task will never run again: complete, shutdown, failed, rejected, orphaned.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * assert.ok(isTerminal("complete") && isTerminal("rejected"));
 * assert.ok(!isTerminal("running"));
 * ```
 */
export function isTerminal(state: TaskState): boolean {
  return TASK_STATES[state] > TASK_STATES.running;
}

/** True if `value` is the name of a task state. */
export function isTaskState(value: string): value is TaskState {
  return Object.hasOwn(TASK_STATES, value);
}
