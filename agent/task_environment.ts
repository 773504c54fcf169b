/** What a task manager works with. */
import type { Clock } from "../api/clock.ts";
import type { NodeDescription } from "../api/node.ts";
import type { Task, TaskStatus } from "../api/task.ts";
import type { Dependencies, Executor } from "../executors/executor.ts";
import type { TaskRecord } from "./local_state.ts";
import type { StartLimiter } from "./start_limiter.ts";
import type { Hold } from "./swap.ts";

/** The surroundings of one task. */
export interface TaskEnvironment {
  clock: Clock;
  /** Serves the task's runtime; undefined if no executor does. */
  executor: Executor | undefined;
  limiter: StartLimiter;
  /** The secrets and configs that the task references. */
  dependencies: Dependencies;
  /** What the node is, for the placeholders in a task's spec. */
  node: () => Promise<NodeDescription>;
  /** Whether a manager can be reached now. */
  connected: () => boolean;
  /** True if the machine was started anew since the task was last run. */
  rebooted: boolean;
  /** What a swap lets the task do. */
  hold?: () => Hold;
  /** Whether the end of the task is the end of its swap. */
  isTrial?: () => boolean;
  /** What of its node has to come first before the task starts, in words. */
  waitsFor?: () => string | undefined;
  /** What the node adds to a task that is run. */
  outfit?: ((task: Task) => Promise<Task>) | undefined;
  /** Called with every change of what must be kept. */
  onRecord: (record: TaskRecord) => void;
  /** Called with every new status. */
  onStatus: (taskID: string, status: TaskStatus) => void;
}
