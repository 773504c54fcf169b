/** Replaces tasks that ended as their restart policy says (SwarmKit `manager/orchestrator/restart`). */
import { clusterOf } from "../cluster/cluster_object.ts";
import { toMs } from "../../api/duration.ts";
import type { CancelTimer } from "../../api/clock.ts";
import type { Service } from "../../api/service.ts";
import type { Task } from "../../api/task.ts";
import { compareStates, isTerminal } from "../../api/task_state.ts";
import type { Commit, WriteTransaction } from "../store/store.ts";
import { CommitLoop, type ComponentOptions } from "../leader/commit_loop.ts";
import { RestartHistory } from "./restart_history.ts";
import { isStopped, isWanted, newTask, placeOf, slotKey, withDesired } from "../task/task.ts";

/**
 * Milliseconds between the end of a task and the start of its replacement, unless the policy says otherwise.
 */
const DEFAULT_RESTART_DELAY_MS = 5000;
/** Milliseconds that a start waits at most for the old task to stop. */
const OLD_TASK_TIMEOUT_MS = 60_000;

/**
 * A task desired `ready` that shall become `running` after a delay and once the tasks in `waitFor` have
 * stopped.
 */
export interface DelayedStart {
  taskID: string;
  delayMs: number;
  waitFor: string[];
}

interface Waiting {
  delayed: boolean;
  waitFor: Set<string>;
  cancel: CancelTimer;
  cancelTimeout: CancelTimer;
}

/**
 * Decides on restarts, and starts delayed tasks in time. One per orchestrator, for the services of its mode.
 */
export class RestartSupervisor {
  readonly history: RestartHistory;
  #loop: CommitLoop;
  #starts = new Map<string, Waiting>();
  /** Old task to the starts that wait for it. */
  #blockers = new Map<string, Set<string>>();
  #due = new Set<string>();
  #recheck = false;

  constructor(readonly options: ComponentOptions, readonly global: boolean) {
    this.history = new RestartHistory(options.clock);
    this.#loop = new CommitLoop("restart supervisor", options, {
      resync: () => this.#resync(),
      onCommit: (commit) => this.#onCommit(commit),
      run: () => this.#run(),
    });
  }

  /** Rebuilds the history and resumes delays that an earlier leader had begun. */
  start(): void {
    this.history.rebuild(this.options.store, this.global);
    this.#loop.start();
  }

  async stop(): Promise<void> {
    for (const taskID of [...this.#starts.keys()]) this.#drop(taskID);
    await this.#loop.stop();
  }

  /** True if the policy of `task`, which has ended or must end, asks for a replacement. */
  shouldRestart(task: Task): boolean {
    const condition = task.Spec.RestartPolicy?.Condition ?? "any";
    if (condition === "none") return false;
    if (condition === "on-failure" && task.Status.State === "complete") return false;
    return this.history.permits(task);
  }

  /**
   * The tasks of one slot (given in the order of creation) that count: the wanted ones, else the newest if it
   * ended and its policy lets it rest. A rollback replaces resting tasks, so that it always reaches the
   * previous spec everywhere.
   */
  liveTasks(service: Service, tasks: readonly Task[]): Task[] {
    const wanted = tasks.filter(isWanted);
    if (wanted.length > 0 || service.UpdateStatus?.State === "rollback_started") return wanted;
    const newest = tasks.at(-1);
    if (newest === undefined || newest.DesiredState === "remove") return [];
    const ended = newest.Status.State;
    if (ended !== "complete" && ended !== "failed" && ended !== "rejected") return [];
    return this.shouldRestart(newest) ? [] : [newest];
  }

  /**
   * Ends `task` within `tx` and, if its policy permits, creates its replacement, desired `ready`. The caller
   * hands the result to `delay` once the transaction is committed. A task that ended while its own start is
   * delayed waits the delay out.
   */
  restart(tx: WriteTransaction, service: Service, task: Task): DelayedStart | undefined {
    if (this.#starts.has(task.ID) || !isWanted(task)) return undefined;
    tx.update("tasks", withDesired(task, "shutdown"));
    if (!this.shouldRestart(task)) return undefined;
    const { clock, random } = this.options;
    const replacement = newTask(service, placeOf(task), clusterOf(tx), clock, random);
    replacement.DesiredState = "ready";
    tx.create("tasks", replacement);
    this.history.record(replacement);
    const draining = tx.get("nodes", task.NodeID)?.Spec.Availability === "drain";
    const delayMs = draining ? 0 : this.#delayMs(task);
    return { taskID: replacement.ID, delayMs, waitFor: isStopped(tx, task) ? [] : [task.ID] };
  }

  /**
   * Starts the (committed) task once its delay is over and the old tasks have stopped; at the latest, after
   * {@linkcode OLD_TASK_TIMEOUT_MS} (or its delay, if that is longer).
   */
  delay({ taskID, delayMs, waitFor }: DelayedStart): void {
    if (!this.#loop.started || this.#starts.has(taskID)) return;
    const { clock } = this.options;
    const nothing = () => {};
    const waiting: Waiting = {
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
      waiting.cancelTimeout = clock.setTimer(Math.max(delayMs, OLD_TASK_TIMEOUT_MS), () => {
        for (const old of [...waiting.waitFor]) this.#unblock(old);
      });
      this.#recheck = true;
      this.#loop.wake();
    }
    this.#check(taskID, waiting);
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
      } else if (change.table === "nodes" && this.#blockers.size > 0) {
        this.#recheck ||= change.action === "remove" || change.object.Status.State === "down";
      } else if (change.table === "services" && change.action === "remove") {
        this.history.forget(change.object.ID);
      }
    }
    return this.#recheck;
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
    const due = [...this.#due];
    if (due.length === 0) return;
    await store.batch(due, (tx, taskID) => {
      const task = tx.get("tasks", taskID);
      if (task && compareStates(task.DesiredState, "running") < 0) {
        tx.update("tasks", withDesired(task, "running"));
      }
    });
    for (const taskID of due) this.#drop(taskID);
  }

  #resync(): void {
    const { store, clock } = this.options;
    for (const task of store.all("tasks")) {
      if (task.DesiredState !== "ready" || (task.Slot === 0) !== this.global) continue;
      const waitFor = store.find("tasks", "slot", slotKey(task))
        .filter((other) => other.ID !== task.ID && !isWanted(other) && !isStopped(store, other));
      const age = clock.now() - Date.parse(task.CreatedAt);
      const delayMs = Math.min(this.#delayMs(task), Math.max(0, this.#delayMs(task) - age));
      this.delay({ taskID: task.ID, delayMs, waitFor: waitFor.map((other) => other.ID) });
    }
  }
}
