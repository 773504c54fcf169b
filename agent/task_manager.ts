/**
 * Runs one task: drives its controller step by step to what the manager wants (SwarmKit `taskManager`). One controller call
 * at a time; a reported state never goes back, even where the task is run again in place.
 */
import { sleep, timestamp } from "../api/clock.ts";
import { CoveyError, hasCode } from "../api/errors.ts";
import { aborted } from "../api/or_abort.ts";
import { getLogger } from "../api/log.ts";
import { withoutNumbers } from "../api/say_once.ts";
import { compareStates, isTerminal, type TaskState } from "../api/task_state.ts";
import type { PortConfig } from "../api/service.ts";
import { reloadSignals } from "../api/reload.ts";
import type { ContainerStatus, Task, TaskStatus } from "../api/task.ts";
import { can, type Controller, type Exit, type Handle } from "../executors/executor.ts";
import { type Activity, outlasts } from "./activity.ts";
import { afterError, afterSuccess, type ControllerCall, nextStep, type Outcome } from "./advance.ts";
import { callBackoff } from "./backoff.ts";
import { fullTask } from "./full_task.ts";
import type { SwapRecord, TaskRecord } from "./local_state.ts";
import type { ScheduledRun } from "../api/schedule.ts";
import type { SwapReport } from "../api/swap.ts";
import { type Hold, wantedUnder } from "./swap.ts";
import { callTelling } from "./progress.ts";
import { checkedStatus, containerOf, portsOf, statusAfter } from "./task_status.ts";
import { isEndOfReboot, localRestartDelay, withRestart } from "./local_restart.ts";
import type { TaskEnvironment } from "./task_environment.ts";
import { removeTraces, requireExecutor, stopProgram } from "./traces.ts";
import { unsentAfter } from "./unsent.ts";

const log = getLogger(["covey", "agent"]);

/** One task on its node, from its assignment until every trace of it is removed. */
export class TaskManager {
  readonly #env: TaskEnvironment;
  #record: TaskRecord;
  /** How far the present run is; equal to the reported state but while the task is run again in place. */
  #phase: TaskState;
  #controller: Controller | undefined;
  #recovering: boolean;
  #recoveredAt = -Infinity;
  #updated: Task | undefined;
  #attempt = 0;
  /** Undefined until this agent has asked. */
  #ports: PortConfig[] | undefined;
  readonly #backoff = callBackoff();
  /** Runs in place by this agent, those after a reboot too. */
  #again = 0;
  /** When it was run again for want of a manager. */
  #restarts: readonly string[];
  /** Aborts the call or pause in progress. */
  #abort = new AbortController();
  #activity: Activity = "waiting";
  #holding = false;
  /** What of its node comes first, in words. */
  #waitsFor: string | undefined;
  /** Undefined: those that were told of before. */
  #runs: readonly ScheduledRun[] | undefined;
  /** What is said of the swap that brings the task. */
  #report: SwapReport | undefined;
  /** Why the task failed in spite of its program. */
  #givenUp: string | undefined;
  /** What the step in progress was made for. */
  #heldBy: Hold;
  #stopped = false;
  /** Resolves when the task is removed or the manager stopped. */
  readonly done: Promise<void>;
  readonly #say = (words: string) => this.#setStatus(this.#phase, words, undefined);

  /** Takes over a task; `recovered` is true for one known from before the agent started. */
  constructor(record: TaskRecord, recovered: boolean, env: TaskEnvironment) {
    this.#env = env;
    this.#record = record;
    this.#report = record.status.Swap;
    this.#restarts = record.status.Restarts ?? [];
    this.#recovering = recovered || record.handle !== undefined;
    const state = record.status.State;
    this.#phase = recovered || isTerminal(state) ? record.phase ?? state : "assigned";
    this.done = this.#run();
  }

  /** The task as last assigned. */
  get task(): Task {
    return this.#record.task;
  }

  /** The newest status. */
  get status(): TaskStatus {
    return this.#record.status;
  }

  /** What its executor finds it by. */
  get handle(): Handle | undefined {
    return this.#controller?.handle() ?? this.#record.handle;
  }

  get record(): Readonly<TaskRecord> {
    return this.#record;
  }

  /** How far its present run is; running only while it is healthy, where it has a health check. */
  get phase(): TaskState {
    return this.#phase;
  }

  /** True while it is made ready, started or stopped, or anything of it is fetched. */
  get isBusy(): boolean {
    return this.#activity !== "waiting";
  }

  /** Process ID of its program; 0 where there is none. */
  readonly pid = async () => (await this.#controller?.status().catch(() => undefined))?.PID ?? 0;

  /** Tells of the runs of its schedule, and how that stands. */
  tellRuns(runs: readonly ScheduledRun[], words: string, err: string | undefined): void {
    this.#runs = runs;
    this.#setStatus(this.#phase, words, err, this.status.ContainerStatus);
  }

  /** Notes how far the swap is that brings the task. */
  keepSwap(swap: SwapRecord | undefined): void {
    this.#keep({ swap });
  }

  /** Says why the swap that brings the task does not begin, if anything stands against it. */
  report(report: SwapReport | undefined): void {
    const { State, Message, Err, ContainerStatus } = this.status;
    if (isTerminal(State) || JSON.stringify(this.#report) === JSON.stringify(report)) return;
    this.#report = report;
    this.#setStatus(State, Message, Err, ContainerStatus);
  }

  /** What the task may do has changed: looks again, and lets go of what `cause` may abort if that is not wanted now. */
  poke(cause: Activity): void {
    const hold = this.#hold;
    if (this.#waitsFor !== undefined && this.#waitsFor !== this.#env.waitsFor?.()) this.#interrupt("waiting");
    if (hold !== this.#heldBy) this.#interrupt(hold === "end" || hold === "rest" ? cause : "waiting");
  }

  /** The task has failed, whatever its program does: stops it, and reports it as failed for that reason. */
  giveUp(reason: string): void {
    if (this.#givenUp !== undefined || isTerminal(this.#phase)) return;
    this.#givenUp = reason;
    this.#interrupt("starting");
  }

  /** Takes over a newer version of the task. */
  update(task: Task): void {
    const signals = reloadSignals(this.#record.task.Spec, task.Spec);
    const all = signals && [...new Set([...this.#record.reload ?? [], ...signals])];
    this.#keep({ task, assigned: true, ...(all && { reload: all }) });
    this.#updated = task;
    this.#interrupt(compareStates(task.DesiredState, "shutdown") >= 0 ? "starting" : "waiting");
  }

  /** Runs the task again in its place. */
  restart(): void {
    this.#keep({ resting: true });
    this.#interrupt("starting");
  }

  /** The node shall run the task no longer: stops it and removes every trace of it. */
  remove(): void {
    if (!this.#record.assigned) return;
    this.#keep({ assigned: false });
    this.#interrupt("starting");
  }

  /** A manager has every status of the task. */
  statusesAccepted(): void {
    if (this.#record.unsent) this.#keep({ unsent: undefined });
  }

  /** A manager became reachable: an end held back for a local restart is reported instead. */
  connectionChanged(): void {
    if (this.#holding) this.#interrupt("waiting");
  }

  /** Lets go of the task; its program goes on. */
  stop(): Promise<void> {
    this.#stopped = true;
    this.#interrupt("stopping");
    return this.done;
  }

  /** Aborts what is in progress if it yields to `cause`. */
  #interrupt(cause: Activity): void {
    if (outlasts(this.#activity, cause)) return;
    this.#abort.abort(new CoveyError("canceled", "Cannot go on: the task changed"));
  }

  get #desired(): TaskState {
    return this.#record.assigned ? this.#record.task.DesiredState : "remove";
  }

  get #hold(): Hold {
    return compareStates(this.#desired, "complete") <= 0 ? this.#env.hold?.() : undefined;
  }

  get #shallRun(): boolean {
    return this.#desired === "running" || this.#desired === "complete";
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      if (this.#abort.signal.aborted) this.#abort = new AbortController();
      this.#activity = "waiting";
      const signal = this.#abort.signal;
      try {
        if (!await this.#step(signal)) break;
      } catch (thrown) {
        if (signal.aborted) continue;
        await this.#pause(thrown, signal);
      }
    }
    await this.#controller?.close().catch(() => {});
  }

  /** Does the next thing there is to do; false when nothing will ever be. */
  async #step(signal: AbortSignal): Promise<boolean> {
    await this.#applyUpdate();
    const hold = this.#heldBy = this.#hold;
    if (this.#givenUp !== undefined && !isTerminal(this.#phase)) return await this.#endAsFailed(signal);
    if (hold === "rest") return await this.#rest(signal);
    if (hold === undefined && this.#record.resting && this.#shallRun) return await this.#wakeUp(signal);
    // What was begun before stays as it is.
    if (hold === "wait" && /^(accepted|preparing|starting)$/.test(this.#phase)) return await aborted(signal);
    if (this.#record.reload && await this.#reload(signal)) return true;
    const wanted = wantedUnder(hold, this.#desired);
    if (this.#waits(wanted)) return await aborted(signal);
    const step = nextStep(wanted, this.#phase);
    if (step.kind === "idle") {
      if (isTerminal(this.#phase)) {
        return this.#record.assigned ? await this.#stayStopped(signal) : !await this.#removeTraces(signal);
      }
      await aborted(signal);
    } else if (step.kind === "move") {
      this.#move({ state: step.state, message: step.message });
    } else {
      await this.#call(step.call, signal);
    }
    return true;
  }

  /** True while others on the node have to come first; says which. */
  #waits(wanted: TaskState): boolean {
    const mayStart = this.#phase === "ready" && (wanted === "running" || wanted === "complete");
    this.#waitsFor = mayStart ? this.#env.waitsFor?.() : undefined;
    if (this.#waitsFor !== undefined) this.#say(this.#waitsFor);
    return this.#waitsFor !== undefined;
  }

  /** Stops the program for a successor; what is left of it stays, so that nobody takes its image away. */
  async #rest(signal: AbortSignal): Promise<true> {
    if (this.#record.resting) return await this.#stayStopped(signal);
    await this.#stopProgram(signal);
    this.#enter("accepted");
    this.#keep({ resting: true });
    const container = await containerOf(this.#controller, this.status);
    this.#setStatus(this.#phase, "stopped for its successor", undefined, container);
    return true;
  }

  async #stopProgram(signal: AbortSignal): Promise<void> {
    this.#activity = "stopping";
    await stopProgram(await this.#ensureController("shutdown"), signal);
  }

  /** Its successor has failed, or somebody wants it: runs again, from what is left. */
  async #wakeUp(signal: AbortSignal): Promise<true> {
    await this.#stopProgram(signal);
    await this.#clearAway(signal);
    this.#recovering = false;
    this.#enter("accepted");
    this.#keep({ resting: undefined });
    return true;
  }

  async #clearAway(signal: AbortSignal, controller = this.#controller): Promise<void> {
    await controller?.remove(signal);
    await controller?.close();
    this.#controller = undefined;
  }

  /** Another may be in its place: what somebody starts by hand, or an agent that was killed was about to start, is stopped. */
  async #stayStopped(signal: AbortSignal): Promise<true> {
    const { handle } = this.#record;
    const controller = handle && this.#env.executor && await this.#ensureController("shutdown");
    if (!controller?.revived) return await aborted(signal);
    await controller.revived(signal);
    signal.throwIfAborted();
    log.warn("Stopping task {id}: it is not to run, and somebody started it again", { id: this.task.ID });
    await this.#stopProgram(signal);
    return true;
  }

  async #endAsFailed(signal: AbortSignal): Promise<true> {
    await this.#stopProgram(signal);
    const outcome: Outcome = { state: "failed", message: "rolled back", err: this.#givenUp! };
    this.#move(outcome, await containerOf(this.#controller, this.status));
    return true;
  }

  /** Takes over changes in place. A failure is the executor's to log: the task itself goes on. */
  async #applyUpdate(): Promise<void> {
    const task = this.#updated;
    this.#updated = undefined;
    if (task && this.#controller) await this.#controller.update(task).catch(() => {});
  }

  /**
   * Tells the program of new versions of its secrets and configs. One that does not run yet is made ready anew;
   * one that cannot be told ends, so that another takes its place. True if there is something else to do then than before.
   */
  async #reload(signal: AbortSignal): Promise<boolean> {
    const { executor, dependencies } = this.#env, signals = this.#record.reload!;
    if (!this.#shallRun || isTerminal(this.#phase)) {
      this.#keep({ reload: undefined });
      return false;
    }
    this.#restarts = []; // Those of the version before are not held against this one.
    this.#activity = "starting";
    const controller = this.#phase === "running" ? await this.#ensureController("wait") : undefined;
    const handle = controller?.handle();
    if (!executor || !can(executor, "reload") || !handle) {
      await this.#clearAway(signal);
      this.#keep({ reload: undefined });
      this.#enter("accepted");
      return true;
    }
    try {
      await executor.reload(await this.expanded(), dependencies, signals, handle);
    } catch (thrown) {
      const error = CoveyError.from(thrown);
      if (error.retryable) throw error;
      await controller!.shutdown(signal);
      this.#keep({ reload: undefined });
      this.#move({ state: "failed", message: "reloading", err: error.message });
      return true;
    }
    this.#keep({ reload: undefined });
    this.#setStatus(this.#phase, "started, and told of new versions", undefined, this.status.ContainerStatus);
    return false;
  }

  async #call(call: ControllerCall, signal: AbortSignal): Promise<void> {
    let exit: Exit | undefined;
    try {
      this.#activity = call === "wait" ? "waiting" : call === "shutdown" ? "stopping" : "starting";
      const controller = await this.#ensureController(call);
      if (!controller) return;
      if (call === "wait") this.#clearError();
      if (call === "wait") exit = await controller.wait(signal);
      else if (call === "shutdown") await controller.shutdown(signal);
      else await callTelling(this.#env, controller, call, signal, this.#say);
    } catch (thrown) {
      if (signal.aborted) throw thrown;
      const outcome = afterError(call, thrown);
      if (outcome.state === undefined) throw thrown;
      if (call === "shutdown") await this.#controller?.terminate(signal).catch(() => {});
      return await this.#finishCall(call, outcome, signal);
    }
    this.#attempt = 0;
    this.#backoff.reset();
    await this.#finishCall(call, afterSuccess(call, exit), signal);
  }

  async #finishCall(call: ControllerCall, outcome: Outcome, signal: AbortSignal): Promise<void> {
    const ended = outcome.state === "complete" || outcome.state === "failed";
    if (ended && (call === "wait" || this.#again > 0) && await this.#runAgain(outcome, signal)) {
      return;
    }
    const container = await containerOf(this.#controller, this.status, outcome.exitCode);
    this.#ports = outcome.state === "running" ? await portsOf(this.#controller, this.task) : [];
    this.#move(outcome, container);
  }

  /** A running task that was found at last has no error to show any more. */
  #clearError(): void {
    const { State, Message, Err, ContainerStatus } = this.status;
    if (Err) this.#setStatus(State, Message, undefined, ContainerStatus);
  }

  /** The task as its executor gets it. */
  expanded(): Promise<Task> {
    return fullTask(this.#record.task, this.#env);
  }

  /** The controller, made or found again; undefined if there is nothing to call and the phase was moved instead. */
  async #ensureController(call: ControllerCall): Promise<Controller | undefined> {
    if (this.#controller) return this.#controller;
    const { handle } = this.#record, task = await this.expanded(), { dependencies } = this.#env;
    const executor = requireExecutor(this.#env.executor, task);
    if (this.#recovering && handle) {
      this.#controller = await executor.recover(task, handle, dependencies).catch((thrown) => {
        if (hasCode(thrown, "not_found")) return undefined;
        throw thrown;
      });
    }
    const found = this.#controller !== undefined;
    if (found) this.#recoveredAt = this.#env.clock.monotonic();
    this.#recovering = false;
    this.#controller ??= await executor.controller(task, dependencies);
    if (found || call === "prepare" || call === "shutdown") return this.#controller;
    if (call === "wait" && task.Spec.RestartPolicy?.Condition === "none") {
      throw new CoveyError("not_found", "Cannot say how the program ended: nothing is left of it");
    }
    this.#enter("preparing");
    return undefined;
  }

  /** True if the task that ended as `outcome` says starts anew in place instead of being reported as ended. */
  async #runAgain(outcome: Outcome, signal: AbortSignal): Promise<boolean> {
    const { clock, rebooted, connected } = this.#env;
    if (!this.#shallRun || outcome.state === undefined) return false;
    const { JobIteration, Spec: { RestartPolicy } } = this.#record.task, isJob = JobIteration !== undefined;
    // What a job did is done.
    if (isJob && outcome.state === "complete") return false;
    const byReboot = rebooted && this.#again === 0 &&
      isEndOfReboot(RestartPolicy, isJob, clock.monotonic() - this.#recoveredAt);
    if (!byReboot) {
      if (connected() || this.#env.isTrial?.()) return false;
      const delay = localRestartDelay(RestartPolicy, outcome.state, this.#restarts, clock.now());
      if (delay === undefined) return false;
      const container = await containerOf(this.#controller, this.status, outcome.exitCode);
      this.#setStatus(this.#phase, "ended, and runs again on the node", outcome.err, container);
      this.#holding = true;
      this.#activity = "waiting";
      await sleep(clock, delay, signal).catch(() => {});
      this.#holding = false;
      if (this.#stopped) return true;
      if (connected() || !this.#shallRun) return false;
    }
    await this.#clearAway(signal);
    this.#again++;
    if (!byReboot) this.#restarts = withRestart(this.#restarts, timestamp(clock));
    this.#enter("accepted");
    return true;
  }

  /** Removes the task's traces; true when that is over. */
  async #removeTraces(signal: AbortSignal): Promise<boolean> {
    this.#activity = "stopping";
    const attempt = { executor: this.#env.executor, taskID: this.task.ID, number: this.#attempt };
    return await removeTraces(attempt, () => this.#ensureController("shutdown"), signal);
  }

  /** Goes to a new phase and says so, in words only where the reported state is further already. */
  #move(outcome: Outcome, container = this.status.ContainerStatus): void {
    if (outcome.state === undefined) return;
    let { state } = outcome;
    if (isTerminal(state)) this.#report = undefined;
    if (isTerminal(state) && state !== "shutdown" && this.#env.isTrial?.()) {
      state = "failed"; // A program that has done its work is no service either.
      this.#report = { Kind: "rolled_back", Reason: outcome.err ?? "it ended" };
    }
    this.#enter(state);
    const again = Math.max(this.#again, this.#restarts.length);
    const message = again === 0 ? outcome.message : `${outcome.message} (run again on the node: ${again})`;
    this.#setStatus(state, message, outcome.err, container);
  }

  /** Goes to a new phase. Where the status is further, the phase is kept: what is half made ready must not pass for running. */
  #enter(phase: TaskState): void {
    this.#phase = phase;
    const behind = compareStates(phase, this.status.State) < 0 ? phase : undefined;
    if (behind !== this.#record.phase) this.#keep({ phase: behind });
  }

  /** Waits before the same call is made again, and shows why. */
  async #pause(thrown: unknown, signal: AbortSignal): Promise<void> {
    const error = CoveyError.from(thrown), step = nextStep(this.#desired, this.#phase);
    this.#attempt++;
    const outcome = step.kind === "call" && afterError(step.call, error);
    if (outcome && outcome.state) return this.#move(outcome);
    // Told, and written to the disk, only where it is another problem, not the same one some seconds later.
    if (!isTerminal(this.#phase) && withoutNumbers(this.status.Err ?? "") !== withoutNumbers(error.message)) {
      this.#setStatus(this.#phase, this.status.Message, error.message, this.status.ContainerStatus);
    }
    this.#activity = "waiting";
    await sleep(this.#env.clock, this.#backoff.next(), signal).catch(() => {});
  }

  #setStatus(state: TaskState, message: string, err: string | undefined, container?: ContainerStatus): void {
    const at = timestamp(this.#env.clock), ports = this.#ports, swap = this.#report;
    const news = { at, state, message, err, container, ports, swap, restarts: this.#restarts };
    const next = statusAfter(this.status, { ...news, runs: this.#runs });
    if (next === undefined) return this.#keep({});
    const status = checkedStatus(this.task.ID, next);
    this.#keep({ status, ...unsentAfter(this.#record, status, this.#env.connected()) });
    this.#env.onStatus(this.task.ID, status);
  }

  #keep(change: Partial<TaskRecord>): void {
    const handle = this.#controller?.handle();
    const same = JSON.stringify(handle) === JSON.stringify(this.#record.handle);
    this.#record = { ...this.#record, ...change, ...(handle && !same ? { handle } : {}) };
    this.#env.onRecord(this.#record);
  }
}
