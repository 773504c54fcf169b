/**
 * One rollout of one service: reads what `plan` has to know from the store, and does what it says. What it remembers can be
 * read anew at any time; progress is in the service's `UpdateStatus`, which a new spec clears:
 *
 *     (none) --> updating --> completed
 *                 |    |
 *                 |    '--> paused                    too many tasks failed
 *                 v                                   the same, `FailureAction: rollback`, or by hand
 *                rollback_started --> rollback_completed
 *                      '--> rollback_paused           too many tasks failed again
 */
import { type CancelTimer, timestamp } from "../../api/clock.ts";
import type { CoveyError } from "../../api/errors.ts";
import type { Node } from "../../api/node.ts";
import type { Rollout } from "../../api/rollout.ts";
import { modeOf, type Service, type UpdateStatus } from "../../api/service.ts";
import { slotKey, type Task } from "../../api/task.ts";
import { clusterOf } from "../cluster/cluster_object.ts";
import type { ComponentOptions } from "../leader/commit_loop.ts";
import { budgetsOf, groupsOf } from "../placement/budget.ts";
import type { RestartSupervisor } from "../restart/restart_supervisor.ts";
import type { ReadView, WriteTransaction } from "../store/store.ts";
import { hasRoom, isServed } from "../task/downtime.ts";
import { provenBefore } from "../task/gate.ts";
import { isPending, isPrepared, swapOf } from "../task/swap.ts";
import { isTaskDirty, isWanted, mayReload, newTask, placeOf, reloaded, withDesired } from "../task/task.ts";
import { type Action, plan, type Stop } from "./plan.ts";
import { type Policy, policyOf } from "./policy.ts";
import { RunTime } from "./run_time.ts";
import { SlotTable } from "./slot_table.ts";

/** Counts alone are written no more often than this: a large fleet makes progress all the time. */
const COUNT_PAUSE_MS = 5000;
/** Before another try where others took down what a plan had counted on. */
const FULL_PAUSE_MS = 1000;

/** True if `tasks`, the live tasks of one slot, are not exactly one task of the service's present spec. */
export function isSlotDirty(view: ReadView, service: Service, tasks: readonly Task[]): boolean {
  const [task] = tasks;
  if (task === undefined) return false;
  return tasks.length > 1 || isTaskDirty(view, service, task);
}

/** An update in progress. `step` is called again whenever something it waits for may have happened. */
export class UpdateRun {
  readonly #slots: SlotTable;
  readonly #rollback: boolean;
  readonly #time: RunTime;
  #countedAt = -Infinity;
  #timer: { at: number; cancel: CancelTimer } | undefined;

  constructor(
    readonly options: ComponentOptions,
    readonly supervisor: RestartSupervisor,
    readonly service: Service,
    /** Asks for another `step`. */
    readonly wake: () => void,
  ) {
    this.#rollback = isRollback(service);
    this.#slots = new SlotTable(options, supervisor);
    this.#time = new RunTime(options.clock);
  }

  /** True if `service` asks for what this run works towards. */
  serves(service: Service): boolean {
    return service.SpecVersion.Index === this.service.SpecVersion.Index &&
      isRollback(service) === this.#rollback;
  }

  /** Drops timers; the run must not be stepped any more. */
  cancel(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** A task of the service changed or is gone; true if the run must be stepped. */
  observe(task: Task): void {
    this.#slots.touch(slotKey(task));
  }

  /** A node changed in what a rollout asks of it. */
  observeNode({ ID, Status }: Node): void {
    const key = slotKey({ ServiceID: this.service.ID, NodeID: ID });
    if (Status.State === "ready") this.#slots.touch(key);
    else this.#slots.interrupt(key);
    for (const task of this.options.store.find("tasks", "nodeID", ID)) {
      if (task.ServiceID === this.service.ID) this.observe(task);
    }
  }

  /** Goes on as far as possible; true once the run is over. */
  async step(): Promise<boolean> {
    const { store, clock } = this.options;
    const service = store.get("services", this.service.ID);
    if (service === undefined || !this.serves(service)) return true;
    if (service.UpdateStatus?.Rollout === undefined) {
      await this.#begin();
      return false;
    }
    const policy = policyOf(service), rollout = service.UpdateStatus.Rollout;
    const times = this.#time.times(rollout), { nowMs } = times;
    const slots = this.#slots.read(service, rollout, nowMs, policy, this.#heardMs(service, policy));
    const { actions, wakeMs, over } = plan(
      {
        times,
        date: timestamp(clock),
        rollout,
        slots,
        absent: this.#slots.absent,
        hasPrevious: hasPrevious(service),
      },
      policy,
    );
    await this.#endOthers(actions);
    await this.#replace(actions, policy);
    await this.#takeBack(actions);
    for (const action of actions) {
      if (action.do === "record") await this.#record(rollout, action.rollout, action.stop);
      else if (action.do === "roll_back") await this.#rollBack(action.failed);
    }
    if (wakeMs !== undefined) this.#wakeIn(wakeMs - nowMs);
    return over;
  }

  /** Only a device that may hold a whole fleet up has to be heard of; Docker's update goes by the monitor period alone. */
  #heardMs(service: Service, { stages }: Policy): (place: string) => number | undefined {
    const { heard } = this.options;
    if (heard === undefined || stages.length === 1 || modeOf(service.Spec) !== "global") {
      return () => undefined;
    }
    return (nodeID) => this.#time.of(heard(nodeID) ?? -Infinity);
  }

  /** Writes down that there is a rollout, before anything is done for it. */
  async #begin(): Promise<void> {
    const { store, clock } = this.options;
    await store.update((tx) => {
      const service = tx.get("services", this.service.ID);
      if (service === undefined || !this.serves(service) || service.UpdateStatus?.Rollout !== undefined) {
        return;
      }
      const now = timestamp(clock);
      const status = service.UpdateStatus ??
        { State: "updating", StartedAt: now, Message: "update in progress" };
      tx.update("services", {
        ...service,
        UpdateStatus: { ...status, Rollout: newRollout(service, status, now) },
      });
    });
    this.wake();
  }

  async #endOthers(actions: readonly Action[]): Promise<void> {
    const places = actions.filter((action) => action.do === "end_others" || action.do === "end_copies");
    if (places.length === 0) return;
    await this.options.store.batch(places, (tx, { do: what, key }) => {
      const service = tx.get("services", this.service.ID);
      if (service === undefined || !this.serves(service)) return;
      const live = this.supervisor.liveTasks(tx, service, tx.find("tasks", "slot", key));
      const clean = live.filter((task) => !isTaskDirty(tx, service, task)), best = longestRunning(clean);
      const kept = what === "end_others" ? best : best ?? clean.at(-1);
      if (kept) this.#end(tx, (what === "end_others" ? live : clean).filter((task) => task !== kept));
    });
  }

  async #takeBack(actions: readonly Action[]): Promise<void> {
    const keys = actions.flatMap((action) => action.do === "take_back" ? [action.key] : []);
    if (keys.length === 0) return;
    await this.options.store.batch(keys, (tx, key) => {
      const service = tx.get("services", this.service.ID);
      if (service?.UpdateStatus?.Rollout === undefined || !isHeld(service.UpdateStatus.Rollout)) return;
      this.#end(tx, tx.find("tasks", "slot", key).filter(isPending));
    });
  }

  #end(tx: WriteTransaction, tasks: readonly Task[]): void {
    for (const task of tasks) if (isWanted(task)) tx.update("tasks", withDesired(task, "shutdown"));
  }

  async #replace(actions: readonly Action[], policy: Policy): Promise<void> {
    const places = actions.filter((action) => action.do === "replace");
    if (places.length === 0) return;
    let failure: CoveyError | undefined, full = 0;
    const hasBudgets = !policy.startFirst && budgetsOf(this.service.Spec).length > 0;
    const members = hasBudgets ? this.#slots.members() : undefined;
    await this.options.store.batch(
      places,
      (tx, place) => this.#replaceOne(tx, place, policy, members),
      (_, outcome) => {
        if (!outcome.committed) failure ??= outcome.error;
        else if (outcome.value === "full") full++;
      },
    );
    if (failure) throw failure;
    if (full < places.length) this.wake();
    else this.#wakeIn(FULL_PAUSE_MS);
  }

  /** Puts a task of the present spec into the slot, unless what the plan was made of is not so any more. */
  #replaceOne(
    tx: WriteTransaction,
    { key, stage, returned }: Extract<Action, { do: "replace" }>,
    { startFirst, rollback, monitorMs }: Policy,
    members: ReadonlyMap<string, readonly string[]> | undefined,
  ): "full" | undefined {
    const service = tx.get("services", this.service.ID);
    const rollout = service?.UpdateStatus?.Rollout;
    if (service === undefined || rollout === undefined || !this.serves(service) || isHeld(rollout)) return;
    const live = this.supervisor.liveTasks(tx, service, tx.find("tasks", "slot", key));
    const [old] = live;
    if (old === undefined) return;
    const again = rollout.Retry?.includes(placeName(old));
    if (members && !this.#mayGoDown(tx, service, old, members)) return "full";
    const mark = { Number: rollout.Number, Stage: stage, ...(returned && { Returned: true as const }) };
    const clean = live.filter((task) => !isTaskDirty(tx, service, task));
    if (!again && clean.length > 0) {
      const prepared = clean.find(isPrepared);
      if (prepared) tx.update("tasks", { ...withDesired(prepared, "running"), Rollout: mark });
      return;
    }
    const { clock, random } = this.options;
    if (live.length === 1 && mayReload(tx, service, old)) {
      tx.update("tasks", reloaded(service, old, mark, timestamp(clock)));
      return;
    }
    const next = newTask(service, placeOf(old), clusterOf(tx), clock, random);
    next.Rollout = mark;
    const swap = swapOf(tx, service, live, { monitorMs, startFirst, rollback });
    if (swap) {
      next.DesiredState = "ready";
      tx.create("tasks", { ...next, Swap: { ...swap, ...(again && { Retry: true }) } });
      this.#end(tx, live.filter((task) => task.ID !== swap.With));
      return;
    }
    next.DesiredState = startFirst ? "running" : "ready";
    tx.create("tasks", next);
    this.#end(tx, startFirst ? live.filter((task) => task !== longestRunning(live)) : live);
  }

  /** Others may have taken devices of its groups down since the plan was made. */
  #mayGoDown(
    tx: WriteTransaction,
    service: Service,
    old: Task,
    members: ReadonlyMap<string, readonly string[]>,
  ): boolean {
    const node = tx.get("nodes", old.NodeID);
    if (node === undefined || !isServed(tx, service, node)) return true;
    return hasRoom(tx, service, groupsOf(service.Spec, node), (name) => members.get(name) ?? []);
  }

  async #record(before: Rollout, rollout: Rollout, stop: Stop | undefined): Promise<void> {
    const { store, clock } = this.options;
    const onlyCounts = before.State === rollout.State && before.Stage === rollout.Stage &&
      before.Failures === rollout.Failures && before.Retry?.length === rollout.Retry?.length;
    const leftMs = this.#countedAt + COUNT_PAUSE_MS - clock.monotonic();
    if (onlyCounts && leftMs > 0) return this.#wakeIn(leftMs);
    await store.update((tx) => {
      const service = tx.get("services", this.service.ID);
      const status = service?.UpdateStatus;
      if (service === undefined || status?.Rollout === undefined || !this.serves(service)) return;
      // Somebody else had a word in between, which the next look will see.
      if (status.Rollout !== before) return;
      const next = stop || rollout.State !== before.State
        ? statusOf(status, rollout, this.#rollback, timestamp(clock), stop && this.#reason(tx, stop))
        : { ...status, Rollout: rollout };
      tx.update("services", { ...service, UpdateStatus: next });
    });
    this.#countedAt = clock.monotonic();
    this.wake();
  }

  /** In the words of Docker, which names the task. */
  #reason(view: ReadView, { because, failed = "" }: Stop): string {
    const key = `${this.service.ID}/${failed}`;
    const task = view.find("tasks", "slot", key).findLast((each) => each.Rollout && !each.Rollout.Restarted);
    return because.endsWith("of a task") && task
      ? `${because.slice(0, -"a task".length)}task ${task.ID}`
      : because;
  }

  async #rollBack(failed: string): Promise<void> {
    const { store, clock } = this.options;
    await store.update((tx) => {
      const service = tx.get("services", this.service.ID);
      if (service === undefined || !this.serves(service)) return;
      const before = provenBefore(service);
      if (before === undefined) return;
      const { PreviousSpec: _, PreviousSpecVersion: _version, Proven: _proven, ...rest } = service;
      const because = this.#reason(tx, {
        state: "paused",
        because: "due to failure or early termination of a task",
        failed,
      });
      tx.update("services", {
        ...rest,
        ...before,
        UpdateStatus: {
          State: "rollback_started",
          StartedAt: service.UpdateStatus?.StartedAt ?? timestamp(clock),
          Message: `update rolled back ${because}`,
        },
      });
    });
  }

  #wakeIn(delayMs: number): void {
    const { clock } = this.options;
    const at = clock.monotonic() + delayMs;
    if (this.#timer && this.#timer.at <= at && this.#timer.at > clock.monotonic()) return;
    this.#timer?.cancel();
    const cancel = clock.setTimer(Math.max(0, delayMs), () => {
      this.#timer = undefined;
      this.wake();
    });
    this.#timer = { at, cancel };
  }
}

/**
 * The task to keep until another has proved itself: of those that an unfinished start-first update left side by side the one
 * that did for longest. A task that does not run is no good task to keep.
 */
function longestRunning(tasks: readonly Task[]): Task | undefined {
  const running = tasks.filter(({ Status }) => Status.State === "running");
  const since = ({ RunningAt, CreatedAt }: Task) => Date.parse(RunningAt ?? CreatedAt);
  return running.reduce<Task | undefined>(
    (best, task) => best && since(best) <= since(task) ? best : task,
    undefined,
  );
}

/** Of variables only the present values are known: the spec before would be started with the same. */
function hasPrevious({ PreviousSpec, SpecVersion, VariablesVersion }: Service): boolean {
  return PreviousSpec !== undefined && VariablesVersion?.Index !== SpecVersion.Index;
}

/** True while nothing may be replaced. */
function isHeld({ State }: Rollout): boolean {
  return State === "paused" || State === "timed_out" || State === "aborted";
}

function isRollback({ UpdateStatus }: Service): boolean {
  return UpdateStatus?.State.startsWith("rollback") ?? false;
}

function placeName({ Slot, NodeID }: Task): string {
  return Slot === undefined ? NodeID : String(Slot);
}

/** One that has just begun; or, where an earlier version left only the state, one that is where the state says. */
function newRollout(service: Service, { State }: Pick<UpdateStatus, "State">, now: string): Rollout {
  const ended = State === "completed" || State === "rollback_completed";
  return {
    Number: service.Version.Index,
    SpecVersion: service.SpecVersion.Index,
    ...(ended && { Ended: true }),
    State: ended ? "completed" : State === "paused" || State === "rollback_paused" ? "paused" : "rolling",
    Stage: 0,
    StageStartedAt: now,
    Total: 0,
    Done: 0,
    Failed: 0,
    Failures: [],
    Deferred: 0,
    Returned: { Total: 0, Failed: 0 },
  };
}

/** The status that shows `rollout` in Docker's terms. */
function statusOf(
  status: UpdateStatus,
  rollout: Rollout,
  rollback: boolean,
  now: string,
  reason: string | undefined,
): UpdateStatus {
  const word = rollback ? "rollback" : "update";
  const base = { ...(status.StartedAt !== undefined && { StartedAt: status.StartedAt }), Rollout: rollout };
  if (rollout.State === "completed") {
    const Message = `${word} completed${deferredWords(rollout.Deferred)}`;
    return { ...base, State: rollback ? "rollback_completed" : "completed", CompletedAt: now, Message };
  }
  if (isHeld(rollout)) {
    const verb = rollout.State === "timed_out" ? "timed out" : rollout.State;
    const Message = `${word} ${verb}${reason === undefined ? "" : ` ${reason}`}`;
    return { ...base, State: rollback ? "rollback_paused" : "paused", Message };
  }
  const Message = rollout.State === "awaiting_promotion"
    ? `stage ${rollout.Stage + 1} is done and waits for promotion`
    : `${word} in progress`;
  return { ...base, State: rollback ? "rollback_started" : "updating", Message };
}

function deferredWords(count: number): string {
  return count === 0 ? "" : `; ${count} ${count === 1 ? "task" : "tasks"} deferred: node not reachable`;
}
