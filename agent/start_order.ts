/**
 * Which services of its node a task waits for before its program starts (compose's `depends_on`): judged by what the device
 * has, with or without a manager, and so after a reboot without a network too.
 */
import type { CancelTimer, Clock } from "../api/clock.ts";
import { foldedName, type ServiceDependency, taskDependsOn } from "../api/start_order.ts";
import { type ScheduledRun, taskSchedule } from "../api/schedule.ts";
import { compareStates } from "../api/task_state.ts";
import type { Task } from "../api/task.ts";
import { isAlive } from "./swap.ts";
import type { TaskManager } from "./task_manager.ts";

/** While a program is only awaited to be started, its executor is asked this often whether it was. */
const LOOK_PERIOD_MS = 1000;

/** A task of the node, as far as others wait for it. */
export type Peer = Pick<TaskManager, "task" | "record" | "phase">;

/**
 * The first service that `task` has to wait for, in words; undefined if there is none. `started` tells of a task that is not
 * running yet (it may have to get healthy) whether its program was started.
 */
export function whyWait(
  task: Pick<Task, "Spec" | "ServiceAnnotations">,
  peers: Iterable<Peer>,
  started: (peer: Peer) => boolean,
): string | undefined {
  const all = taskDependsOn(task);
  if (all.length === 0) return undefined;
  const byName = Map.groupBy(peers, (peer) => foldedName(peer.task.ServiceAnnotations.Name));
  for (const dependency of all) {
    const there = (byName.get(foldedName(dependency.Service)) ?? []).filter(({ record }) => record.assigned);
    if (MEETS[dependency.Condition](there, started)) continue;
    const nothing = there.length === 0 ? ", which has no task of it" : "";
    return `waits for service ${dependency.Service} ${WORDS[dependency.Condition]} on this node${nothing}`;
  }
  return undefined;
}

const WORDS: Record<ServiceDependency["Condition"], string> = {
  service_started: "to be started",
  service_healthy: "to be healthy",
  service_completed_successfully: "to complete",
};

type Meets = (peers: readonly Peer[], started: (peer: Peer) => boolean) => boolean;

/** The runs of a scheduled job; undefined for a task that is its own. */
function runsOf({ task, record }: Peer): readonly ScheduledRun[] | undefined {
  return taskSchedule(task) === undefined ? undefined : record.status.Runs ?? [];
}

function isRunning(peer: Peer): boolean {
  const runs = runsOf(peer);
  return isAlive(peer.record) && peer.phase === "running" &&
    (runs === undefined || runs.some(({ State }) => State === "running"));
}

function isComplete(peer: Peer): boolean {
  const runs = runsOf(peer)?.filter(({ State }) => State !== "skipped" && State !== "missed");
  return (runs === undefined ? peer.record.status.State : runs.at(-1)?.State) === "complete";
}

/** It has yet to end. */
function isAtWork(peer: Peer): boolean {
  return isAlive(peer.record) && (runsOf(peer) === undefined || isRunning(peer));
}

const MEETS: Record<ServiceDependency["Condition"], Meets> = {
  service_started: (peers, started) =>
    peers.some((peer) => isRunning(peer) || isComplete(peer) || (isAlive(peer.record) && started(peer))),
  // A task runs only once it is healthy, where it has a health check.
  service_healthy: (peers) => peers.some(isRunning),
  service_completed_successfully: (peers) => {
    const newest = Math.max(...peers.map(iteration));
    const present = peers.filter((peer) => iteration(peer) === newest);
    return present.some(isComplete) && !present.some(isAtWork);
  },
};

function iteration({ task }: Peer): number {
  return task.JobIteration?.Index ?? 0;
}

/** The tasks of one device that wait for others. */
export class StartOrder {
  readonly #clock: Clock;
  readonly #tasks: ReadonlyMap<string, TaskManager>;
  readonly #runOf: (id: string) => TaskManager | undefined;
  readonly #waiting = new Set<string>();
  /** Tasks whose program was started in their present phase, before they run. */
  readonly #started = new WeakSet<object>();
  #look: CancelTimer | undefined;

  /** Nobody waits for a run of a scheduled job by itself; `runOf` finds it. */
  constructor(
    clock: Clock,
    tasks: ReadonlyMap<string, TaskManager>,
    runOf: (id: string) => TaskManager | undefined,
  ) {
    this.#clock = clock;
    this.#tasks = tasks;
    this.#runOf = runOf;
  }

  /** What task `id` waits for now, in words; undefined if it may start. */
  waitsFor(id: string): string | undefined {
    const task = this.#find(id);
    if (task === undefined) return undefined;
    const why = whyWait(task.task, this.#tasks.values(), (peer) => this.#isStarted(peer));
    if (why === undefined) this.#waiting.delete(id);
    else {
      this.#waiting.add(id);
      this.#lookLater();
    }
    return why;
  }

  /** Something about a task of the device changed, or one is gone: those that wait look again. */
  observe(): void {
    for (const id of this.#waiting) {
      const task = this.#find(id);
      if (task === undefined) this.#waiting.delete(id);
      else task.poke("waiting");
    }
  }

  /** Nobody waits any more. */
  stop(): void {
    this.#look?.();
    this.#look = undefined;
    this.#waiting.clear();
  }

  #find(id: string): TaskManager | undefined {
    return this.#tasks.get(id) ?? this.#runOf(id);
  }

  #isStarted(peer: Peer): boolean {
    if (peer.phase !== "starting") this.#started.delete(peer);
    return this.#started.has(peer);
  }

  /** Only executors know of a program that was started and is not healthy yet. */
  #lookLater(): void {
    if (this.#look !== undefined || !this.#starting().some(() => true)) return;
    this.#look = this.#clock.setTimer(LOOK_PERIOD_MS, () => void this.#ask());
  }

  async #ask(): Promise<void> {
    const asked = this.#starting();
    const pids = await Promise.all(asked.map((task) => task.pid()));
    asked.forEach((task, index) => {
      if (pids[index]! > 0 && task.phase === "starting") this.#started.add(task);
    });
    if (this.#look === undefined) return;
    this.#look = undefined;
    this.observe();
    if (this.#waiting.size > 0) this.#lookLater();
  }

  /** Tasks that others wait for, and that may have been started. */
  #starting(): TaskManager[] {
    const names = new Set(
      [...this.#waiting].flatMap((id) => {
        const task = this.#find(id)?.task;
        return task === undefined ? [] : taskDependsOn(task)
          .filter(({ Condition }) => Condition === "service_started").map(({ Service }) =>
            foldedName(Service)
          );
      }),
    );
    return [...this.#tasks.values()].filter(({ phase, task, record }) =>
      phase === "starting" && isAlive(record) && names.has(foldedName(task.ServiceAnnotations.Name)) &&
      compareStates(task.DesiredState, "ready") > 0
    );
  }
}
