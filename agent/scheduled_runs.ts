/**
 * The runs of this device's scheduled jobs. What keeps the time takes memory and is a package, so it is loaded for the first
 * such job.
 */
import type { Clock } from "../api/clock.ts";
import { taskSchedule } from "../api/schedule.ts";
import type { Task, TaskStatus } from "../api/task.ts";
import type { Controller, Executor } from "../executors/executor.ts";
import type { LocalState, TaskRecord } from "./local_state.ts";
import type { TaskManager } from "./task_manager.ts";

/** What it works with. */
export interface ScheduledRunsOptions {
  clock: Clock;
  state: LocalState;
  /** The device's tasks by ID. */
  tasks: ReadonlyMap<string, TaskManager>;
  knowsTime: () => boolean;
  rebooted: () => boolean;
  /** Makes what runs a record. */
  manage: (record: TaskRecord, recovered: boolean, onStatus: (status: TaskStatus) => void) => TaskManager;
}

/** All runs, by the job and by themselves. */
export class ScheduledRuns {
  readonly #options: ScheduledRunsOptions;
  readonly #runs = new Map<string, TaskManager>();

  constructor(options: ScheduledRunsOptions) {
    this.#options = options;
  }

  /** True if the device has the run. */
  has(runID: string): boolean {
    return this.#runs.has(runID);
  }

  /** The run of that ID. */
  get(runID: string): TaskManager | undefined {
    return this.#runs.get(runID);
  }

  /** All of them. */
  all(): Iterable<TaskManager> {
    return this.#runs.values();
  }

  /** The newest run of a job. */
  newestOf(taskID: string): TaskManager | undefined {
    return [...this.#runs.values()].findLast(({ record }) => record.run?.of === taskID);
  }

  /** What stands in for the executor of `task` if it runs by the clock; else undefined. */
  executorFor(task: Task, own: Executor | undefined): Executor | undefined {
    if (own === undefined || taskSchedule(task) === undefined) return own;
    const make = (task: Task, found: boolean) => this.#controller(task, found);
    return {
      name: own.name,
      runtime: own.runtime,
      capabilities: [],
      describe: (signal) => own.describe(signal),
      controller: (task) => make(task, false),
      recover: (task) => make(task, true),
      close: () => Promise.resolve(),
    };
  }

  async #controller(task: Task, found: boolean): Promise<Controller> {
    const { ScheduleController } = await import("./schedule/schedule_controller.ts");
    const { clock, state, tasks, knowsTime, rebooted } = this.#options, { ID } = task;
    return new ScheduleController(task, {
      clock,
      knowsTime,
      rebooted: rebooted(),
      records: () => [...state.tasks()].filter(({ run }) => run?.of === ID),
      keep: async (record) => {
        state.put(record);
        await state.flush();
      },
      forget: (runID) => state.delete(runID),
      manage: (record, recovered, onStatus) => this.#manage(record, recovered, onStatus),
      told: () => tasks.get(ID)?.status.Runs ?? [],
      tell: (runs, words, err) => tasks.get(ID)?.tellRuns(runs, words, err),
    }, found);
  }

  #manage(record: TaskRecord, recovered: boolean, onStatus: (status: TaskStatus) => void): TaskManager {
    const { ID } = record.task, run = this.#options.manage(record, recovered, onStatus);
    this.#runs.set(ID, run);
    const gone = () => {
      this.#runs.delete(ID);
      // One that an agent lets go of is found again by the next.
      if (!run.record.assigned) this.#options.state.delete(ID);
    };
    run.done.then(gone, gone);
    return run;
  }
}
