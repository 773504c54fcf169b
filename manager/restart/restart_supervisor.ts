/** Replaces tasks that ended as their restart policy says (SwarmKit `manager/orchestrator/restart`). */
import { clusterOf } from "../cluster/cluster_object.ts";
import { toMs } from "../../api/duration.ts";
import type { CancelTimer } from "../../api/clock.ts";
import { type ModeName, modeOf, type Service, stopGraceMs } from "../../api/service.ts";
import { slotKey, type Task } from "../../api/task.ts";
import { compareStates, isTerminal } from "../../api/task_state.ts";
import type { Commit, ReadView, WriteTransaction } from "../store/store.ts";
import { CommitLoop, type ComponentOptions } from "../leader/commit_loop.ts";
import { showOnTask } from "../leader/show_reason.ts";
import type { WorkList } from "../leader/work_list.ts";
import { asBefore } from "../task/gate.ts";
import { liveTasks, shouldRestart } from "./restart_policy.ts";
import { handOn, isPending, isSwapped } from "../task/swap.ts";
import { goalOf, isStopped, isWanted, newTask, placeOf, withDesired } from "../task/task.ts";

/**
 * Milliseconds between the end of a task and the start of its replacement, unless the policy says otherwise.
 */
const DEFAULT_RESTART_DELAY_MS = 5000;
/**
 * Milliseconds beyond its own grace period that a start waits at most for the old task to stop, for a slow device and its
 * report: with the default grace it is SwarmKit's minute. After less than the grace period two copies would run.
 */
const OLD_TASK_SLACK_MS = 50_000;

/**
 * A task desired `ready` that shall become `running` (or `complete`) after a delay and once the tasks in `waitFor` have
 * stopped.
 */
export interface DelayedStart {
  taskID: string;
  delayMs: number;
  waitFor: string[];
}

interface Waiting {
  /** Found in the store, so that its delay is the policy's; who asked for it may know better. */
  found: boolean;
  delayed: boolean;
  waitFor: Set<string>;
  cancel: CancelTimer;
  cancelTimeout: CancelTimer;
}

/**
 * Decides on restarts, and starts delayed tasks in time. One per orchestrator, for the services of its mode. What it waits
 * for and what it counts follows from the commits that it sees, never from what was to be written: a write may be refused,
 * or be committed although its answer was lost.
 */
export class RestartSupervisor {
  #loop: CommitLoop;
  #starts = new Map<string, Waiting>();
  /** Old task to the starts that wait for it. */
  #blockers = new Map<string, Set<string>>();
  readonly #due: WorkList;
  #recheck = false;

  constructor(readonly options: ComponentOptions, readonly mode: ModeName) {
    this.#loop = new CommitLoop("restart supervisor", options, {
      resync: () => this.#resync(),
      onCommit: (commit) => this.#onCommit(commit),
      run: () => this.#run(),
    });
    this.#due = this.#loop.list("task", showOnTask(options));
  }

  /** Resumes delays that an earlier leader had begun. */
  start(): void {
    this.#loop.start();
  }

  async stop(): Promise<void> {
    for (const taskID of [...this.#starts.keys()]) this.#drop(taskID);
    await this.#loop.stop();
  }

  /** See {@linkcode liveTasks}. */
  liveTasks(view: ReadView, service: Service, tasks: readonly Task[]): Task[] {
    return liveTasks(view, service, tasks, this.options.clock.now());
  }

  /**
   * Ends `task` within `tx` and, if its policy permits, creates its replacement, desired `ready`. The caller
   * hands the result to `delay` once the transaction is known to be committed; without that, the replacement
   * waits out the delay of its policy. A task that ended while its own start is delayed waits the delay out.
   */
  restart(tx: WriteTransaction, service: Service, task: Task): DelayedStart | undefined {
    if (this.#starts.has(task.ID) || !isWanted(task)) return undefined;
    tx.update("tasks", withDesired(task, "shutdown"));
    const { clock, random } = this.options;
    const slot = tx.find("tasks", "slot", slotKey(task));
    if (isSwapped(task, slot) || !shouldRestart(task, slot, clock.now())) return undefined;
    const made = newTask(service, placeOf(task), clusterOf(tx), clock, random);
    const replacement: Task = { ...asBefore(tx, service, task, made), DesiredState: "ready" };
    tx.create("tasks", replacement);
    handOn(tx, task, replacement, slot);
    const draining = tx.get("nodes", task.NodeID)?.Spec.Availability === "drain";
    const delayMs = draining ? 0 : this.#delayMs(task);
    return { taskID: replacement.ID, delayMs, waitFor: isStopped(tx, task) ? [] : [task.ID] };
  }

  /**
   * Starts the (committed) task once its delay is over and the old tasks have stopped; at the latest,
   * {@linkcode OLD_TASK_SLACK_MS} after the longest grace period of theirs (or its delay, if that is longer).
   */
  delay(start: DelayedStart): void {
    if (!this.#loop.started || this.options.store.get("tasks", start.taskID)?.DesiredState !== "ready") {
      return;
    }
    const known = this.#starts.get(start.taskID);
    if (known?.found === false) return;
    this.#drop(start.taskID);
    this.#wait(start, false);
  }

  #wait({ taskID, delayMs, waitFor }: DelayedStart, found: boolean): void {
    const { clock } = this.options;
    const nothing = () => {};
    const waiting: Waiting = {
      found,
      delayed: delayMs > 0,
      waitFor: new Set(waitFor),
      cancel: nothing,
      cancelTimeout: nothing,
    };
    this.#starts.set(taskID, waiting);
    for (const old of waitFor) this.#blockers.set(old, (this.#blockers.get(old) ?? new Set()).add(taskID));
    if (waiting.delayed) {
      waiting.cancel = clock.setTimer(delayMs, () => {
        waiting.delayed = false;
        this.#check(taskID, waiting);
      });
    }
    if (waitFor.length > 0) {
      const timeoutMs = Math.max(delayMs, ...waitFor.map((old) => this.#stopTimeoutMs(old)));
      waiting.cancelTimeout = clock.setTimer(timeoutMs, () => {
        for (const old of [...waiting.waitFor]) this.#unblock(old);
      });
      this.#recheck = true;
      this.#loop.wake();
    }
    this.#check(taskID, waiting);
  }

  #stopTimeoutMs(taskID: string): number {
    const task = this.options.store.get("tasks", taskID);
    return task === undefined ? 0 : stopGraceMs(task.Spec) + OLD_TASK_SLACK_MS;
  }

  #delayMs(task: Task): number {
    return toMs(task.Spec.RestartPolicy?.Delay, DEFAULT_RESTART_DELAY_MS);
  }

  #check(taskID: string, waiting: Waiting): void {
    if (waiting.delayed || waiting.waitFor.size > 0) return;
    this.#due.add(taskID);
    this.#loop.wake();
  }

  #unblock(old: string): void {
    for (const taskID of this.#blockers.get(old) ?? []) {
      const waiting = this.#starts.get(taskID);
      if (waiting?.waitFor.delete(old)) this.#check(taskID, waiting);
    }
    this.#blockers.delete(old);
  }

  #drop(taskID: string): void {
    const waiting = this.#starts.get(taskID);
    if (waiting === undefined) return;
    waiting.cancel();
    waiting.cancelTimeout();
    for (const old of waiting.waitFor) {
      const blocked = this.#blockers.get(old);
      blocked?.delete(taskID);
      if (blocked?.size === 0) this.#blockers.delete(old);
    }
    this.#starts.delete(taskID);
    this.#due.delete(taskID);
  }

  #onCommit(commit: Commit): boolean {
    for (const change of commit.changes) {
      if (change.table === "tasks") {
        const task = change.object;
        const removed = change.action === "remove";
        if (this.#blockers.has(task.ID) && (removed || isTerminal(task.Status.State))) this.#unblock(task.ID);
        // Let go before the orchestrator looks: a task that ended during its delay is restarted from now on.
        if (removed || task.DesiredState !== "ready") this.#drop(task.ID);
        else this.#find(task);
      } else if (change.table === "nodes" && this.#blockers.size > 0) {
        this.#recheck ||= change.action === "remove" || change.object.Status.State === "down";
      }
    }
    return this.#recheck || this.#due.size > 0;
  }

  async #run(): Promise<void> {
    const { store } = this.options;
    if (this.#recheck) {
      this.#recheck = false;
      for (const old of [...this.#blockers.keys()]) {
        const task = store.get("tasks", old);
        if (task === undefined || isStopped(store, task)) this.#unblock(old);
      }
    }
    await this.#due.commit(store, (tx, taskID) => {
      const task = tx.get("tasks", taskID);
      if (task && compareStates(task.DesiredState, "running") < 0) {
        tx.update("tasks", withDesired(task, goalOf(task)));
      }
    });
  }

  #isOfMode({ ServiceID }: Task): boolean {
    const service = this.options.store.get("services", ServiceID);
    return service !== undefined && modeOf(service.Spec) === this.mode;
  }

  #resync(): void {
    for (const task of this.options.store.all("tasks")) this.#find(task);
  }

  /** Starts a task that waits for it as far as the store says when. */
  #find(task: Task): void {
    if (task.DesiredState !== "ready" || this.#starts.has(task.ID) || !this.#isOfMode(task)) return;
    // Its rollout says when it begins.
    if (isPending(task)) return;
    // One that ended before it was started is not waited for: its replacement has a delay of its own.
    if (!isTerminal(task.Status.State)) this.#resume(task);
  }

  #resume(task: Task): void {
    const { store, clock } = this.options;
    const waitFor = store.find("tasks", "slot", slotKey(task))
      .filter((other) => other.ID !== task.ID && !isWanted(other) && !isStopped(store, other));
    const age = clock.now() - Date.parse(task.CreatedAt);
    // What a rollout put there only waits for the old task; a restart waits out its delay.
    const wholeMs = task.Rollout && !task.Rollout.Restarted ? 0 : this.#delayMs(task);
    const delayMs = Math.min(wholeMs, Math.max(0, wholeMs - age));
    this.#wait({ taskID: task.ID, delayMs, waitFor: waitFor.map((other) => other.ID) }, true);
  }
}
