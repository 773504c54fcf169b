/**
 * Runs the program of a scheduled job whenever its time has come. To the agent it is one task that runs for as long as
 * the service is there; each run is a task of the device's own beside it, of which managers hear by that task's status.
 *
 * A run is on the disk before it begins, so that no time is run twice, whether the agent is killed or the power is cut.
 */
import { type CancelTimer, type Clock, timestamp } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import { aborted, orAbort } from "../../api/or_abort.ts";
import { type ScheduledRun, taskSchedule } from "../../api/schedule.ts";
import { isTerminal } from "../../api/task_state.ts";
import type { Task, TaskStatus } from "../../api/task.ts";
import type { Controller, Exit, Handle } from "../../executors/executor.ts";
import type { TaskRecord } from "../local_state.ts";
import type { TaskManager } from "../task_manager.ts";
import { nextStep, type Step } from "./next_step.ts";
import { endedRun, lastFailure, runRecord, withRun } from "./run_record.ts";

/** Format of the handles. */
const HANDLE_VERSION = 1;
/** Between two looks at the clock: it may be set, and a device may sleep. */
const MAX_LOOK_MS = 60_000;
/** Between two looks whether the time is known. */
const UNKNOWN_TIME_LOOK_MS = 10_000;

/** The device, as a scheduled job sees it. */
export interface RunHost {
  clock: Clock;
  /** False while the device's clock is known to be wrong. */
  knowsTime: () => boolean;
  /** The machine was started anew since runs on record were last known to go on. */
  rebooted: boolean;
  /** Runs of the job on record. */
  records(): TaskRecord[];
  /** Resolves once `record`, and what was told before, is on the disk. */
  keep(record: TaskRecord): Promise<void>;
  forget(runID: string): void;
  /** Runs what is on record. */
  manage(record: TaskRecord, recovered: boolean, onStatus: (status: TaskStatus) => void): TaskManager;
  /** What was told of runs. */
  told(): readonly ScheduledRun[];
  /** Tells of runs, and how the job stands. */
  tell(runs: readonly ScheduledRun[], words: string, err: string | undefined): void;
}

/** One scheduled job on its device. */
export class ScheduleController implements Controller {
  readonly #host: RunHost;
  #task: Task;
  #prepared: boolean;
  #begun = false;
  #ended = false;
  /** A run is being written to the disk. */
  #writing = false;
  #awaitedMs: number | undefined;
  #timer: CancelTimer | undefined;
  readonly #runs = new Map<string, TaskManager>();
  #changed = Promise.withResolvers<void>();

  constructor(task: Task, host: RunHost, found: boolean) {
    this.#task = task;
    this.#host = host;
    this.#prepared = found;
  }

  prepare(): Promise<void> {
    this.#prepared = true;
    return Promise.resolve();
  }

  start(): Promise<void> {
    this.#begin();
    return Promise.resolve();
  }

  async wait(signal: AbortSignal): Promise<Exit> {
    this.#begin();
    this.#look();
    await aborted(signal);
    throw signal.reason;
  }

  update(task: Task): Promise<void> {
    this.#task = task;
    return Promise.resolve();
  }

  async shutdown(signal: AbortSignal): Promise<void> {
    this.#end();
    for (const run of this.#runs.values()) run.update({ ...run.task, DesiredState: "shutdown" });
    while (this.#writing || this.#alive().length > 0) {
      this.#changed = Promise.withResolvers();
      await orAbort(this.#changed.promise, signal);
    }
  }

  terminate(signal: AbortSignal): Promise<void> {
    return this.shutdown(signal);
  }

  async remove(signal: AbortSignal): Promise<void> {
    this.#end();
    const runs = [...this.#runs.values()];
    for (const run of runs) run.remove();
    await orAbort(Promise.allSettled(runs.map(({ done }) => done)), signal);
  }

  handle(): Handle | undefined {
    return this.#prepared ? { version: HANDLE_VERSION, data: { TaskID: this.#task.ID } } : undefined;
  }

  status(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async close(): Promise<void> {
    this.#stopKeeping();
    await Promise.allSettled([...this.#runs.values()].map((run) => run.stop()));
  }

  /** Takes up what an earlier agent left. */
  #begin(): void {
    if (this.#begun) return;
    this.#begun = true;
    const records = this.#host.records();
    for (const record of records) this.#recover(record);
    const going = new Set(records.map(({ run }) => run!.at));
    for (const run of this.#host.told()) {
      if (run.State !== "running" || going.has(run.Scheduled)) continue;
      this.#note({ ...run, State: "failed", Reason: "nothing is known of how it ended" });
    }
  }

  #recover(record: TaskRecord): void {
    const { run, status, task } = record, once = task.Spec.RestartPolicy?.Condition === "none";
    const manager = this.#manage(record, true);
    if (isTerminal(status.State)) return this.#finish(run!.at, status);
    if (!this.#host.rebooted || !once) return;
    // It may have begun: what runs once is not begun again.
    const State = "failed", Err = "the device was started anew meanwhile";
    this.#finish(run!.at, { ...status, Timestamp: timestamp(this.#host.clock), State, Err });
    manager.remove();
  }

  /** Nothing is run any more, and what runs is to be ended. */
  #end(): void {
    this.#begin();
    this.#stopKeeping();
  }

  #stopKeeping(): void {
    this.#ended = true;
    this.#timer?.();
    this.#timer = undefined;
  }

  /** Does what there is to do now, and comes back when there is more. */
  #look(): void {
    this.#timer?.();
    this.#timer = undefined;
    const { clock } = this.#host;
    while (!this.#ended && !this.#writing) {
      if (!this.#host.knowsTime()) {
        this.#say("runs nothing before the device knows the time");
        this.#timer = clock.setTimer(UNKNOWN_TIME_LOOK_MS, () => this.#look());
        return;
      }
      const step = nextStep({
        schedule: taskSchedule(this.#task)!,
        lastMs: Date.parse(this.#host.told().at(-1)?.Scheduled ?? this.#task.CreatedAt),
        nowMs: clock.now(),
        alive: this.#alive().length,
        awaitedMs: this.#awaitedMs,
      });
      if (!this.#take(step)) return;
    }
  }

  /** Takes one step; true if there may be another at once. */
  #take(step: Step): boolean {
    if (step.kind === "wait") {
      const ms = Math.max(0, Math.min(step.untilMs - this.#host.clock.now(), MAX_LOOK_MS));
      this.#timer = this.#host.clock.setTimer(ms, () => this.#look());
      const never = !Number.isFinite(step.untilMs);
      this.#say(never ? "never runs again" : `next run at ${new Date(step.untilMs).toISOString()}`);
      return false;
    }
    const Scheduled = new Date(step.atMs).toISOString();
    if (step.kind === "note") {
      this.#note({ Scheduled, State: step.state, Reason: step.reason });
      return true;
    }
    if (step.kind === "replace") {
      if (this.#awaitedMs === undefined) {
        for (const run of this.#alive()) run.update({ ...run.task, DesiredState: "shutdown" });
      }
      this.#awaitedMs = step.atMs;
      return false;
    }
    this.#awaitedMs = undefined;
    void this.#run(step.atMs, Scheduled);
    return false;
  }

  async #run(atMs: number, Scheduled: string): Promise<void> {
    const now = timestamp(this.#host.clock), record = runRecord(this.#task, atMs, now);
    const run: ScheduledRun = { Scheduled, State: "running", StartedAt: now };
    this.#writing = true;
    this.#note(run);
    try {
      await this.#host.keep(record);
      if (this.#ended) throw new CoveyError("canceled", "Cannot run: the job was ended meanwhile");
      for (const [id, before] of this.#runs) if (!this.#alive().includes(before)) this.#drop(id, before);
      this.#manage(record, false);
    } catch (thrown) {
      // What is not on the disk would be run again after a power cut.
      this.#host.forget(record.task.ID);
      this.#note({ ...run, State: "skipped", Reason: CoveyError.from(thrown).message });
    }
    this.#writing = false;
    this.#changed.resolve();
    this.#look();
  }

  /** What is left of a run that ended stays for its log, until there is another. */
  #drop(id: string, run: TaskManager): void {
    this.#runs.delete(id);
    run.remove();
  }

  #manage(record: TaskRecord, recovered: boolean): TaskManager {
    const { task: { ID }, run } = record;
    const manager = this.#host.manage(record, recovered, (status) => {
      if (isTerminal(status.State)) this.#finish(run!.at, status);
    });
    this.#runs.set(ID, manager);
    manager.done.catch((thrown) => {
      const Timestamp = timestamp(this.#host.clock), Err = CoveyError.from(thrown).message;
      this.#finish(run!.at, { Timestamp, State: "failed", Message: "", Err });
    }).finally(() => {
      if (this.#runs.get(ID) === manager) this.#runs.delete(ID);
      this.#changed.resolve();
    });
    return manager;
  }

  #finish(at: string, status: TaskStatus): void {
    const run = this.#host.told().find(({ Scheduled }) => Scheduled === at);
    if (run?.State === "running") this.#note(endedRun(run, status));
    // The record of the run says so a moment later.
    queueMicrotask(() => {
      this.#changed.resolve();
      if (this.#begun && !this.#ended) this.#look();
    });
  }

  #alive(): TaskManager[] {
    return [...this.#runs.values()].filter(({ status, record }) =>
      record.assigned && !isTerminal(status.State)
    );
  }

  #note(run: ScheduledRun): void {
    const runs = withRun(this.#host.told(), run);
    this.#host.tell(runs, `its run of ${run.Scheduled} is ${run.State}`, lastFailure(runs));
  }

  #say(words: string): void {
    const runs = this.#host.told();
    this.#host.tell(runs, words, lastFailure(runs));
  }
}
