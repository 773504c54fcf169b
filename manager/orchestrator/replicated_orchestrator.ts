/** Keeps n tasks of each replicated service (SwarmKit `manager/orchestrator/replicated`). */
import { clusterOf } from "../cluster/cluster_object.ts";
import { replicas, type Service } from "../../api/service.ts";
import { slotKey, type Task } from "../../api/task.ts";
import { isTerminal } from "../../api/task_state.ts";
import type { ReadView, WriteTransaction } from "../store/store.ts";
import type { ComponentOptions } from "../leader/commit_loop.ts";
import { type NodeChange, ServiceOrchestrator, type Verdict } from "./service_orchestrator.ts";
import { iterationOf } from "../task/task.ts";

/** Live tasks by slot, and what is left of slots without any. */
interface Slots {
  live: Map<number, Task[]>;
  dead: Task[];
}

function nodeIsLost(view: Pick<ReadView, "get">, nodeID: string): boolean {
  if (nodeID === "") return false;
  const node = view.get("nodes", nodeID);
  return node === undefined || node.Status.State === "down" || node.Spec.Availability === "drain";
}

/**
 * Slots in the order in which to keep them when scaling down: those that even out the copies per node, then
 * running before others, then low before high numbers. Slots without a node, or with several tasks, come
 * last.
 */
export function slotsToKeep(live: ReadonlyMap<number, readonly Task[]>): number[] {
  const isRunning = (tasks: readonly Task[]) => tasks.some((task) => task.Status.State === "running");
  const slots = [...live].map(([slot, tasks]) => ({
    slot,
    tasks,
    running: isRunning(tasks),
    copy: Infinity,
  }));
  slots.sort((a, b) => Number(b.running) - Number(a.running) || a.slot - b.slot);
  const copies = new Map<string, number>();
  for (const entry of slots) {
    const [task] = entry.tasks;
    if (entry.tasks.length !== 1 || !task?.NodeID) continue;
    entry.copy = copies.get(task.NodeID) ?? 0;
    copies.set(task.NodeID, entry.copy + 1);
  }
  return slots.sort((a, b) => a.copy === b.copy ? 0 : a.copy - b.copy).map((entry) => entry.slot);
}

/** The slots of a replicated service; `liveTasks` says which of a slot's tasks (in the order of creation) count. */
export function slotsOf(
  view: Pick<ReadView, "find">,
  service: Service,
  liveTasks: (tasks: readonly Task[]) => Task[],
): Slots {
  const all = new Map<number, Task[]>();
  for (const task of view.find("tasks", "serviceID", service.ID)) {
    if (task.DesiredState === "remove" || task.Slot === undefined) continue;
    const slot = all.get(task.Slot);
    if (slot) slot.push(task);
    else all.set(task.Slot, [task]);
  }
  const slots: Slots = { live: new Map(), dead: [] };
  for (const [slot, tasks] of all) {
    const live = liveTasks(tasks);
    if (live.length > 0) slots.live.set(slot, live);
    else slots.dead.push(...tasks);
  }
  return slots;
}

/** The lowest slots that are missing for `wanted`. */
export function lowestFree(wanted: number, live: ReadonlyMap<number, unknown>): number[] {
  const free: number[] = [];
  for (let slot = 1; live.size + free.length < wanted; slot++) {
    if (!live.has(slot)) free.push(slot);
  }
  return free;
}

function isSameVersion(a: Service, b: Service): boolean {
  return a.SpecVersion.Index === b.SpecVersion.Index && iterationOf(a) === iterationOf(b);
}

/** The orchestrator of replicated services, and what that of replicated jobs has in common with it. */
export class ReplicatedOrchestrator extends ServiceOrchestrator {
  constructor(options: ComponentOptions, mode: "replicated" | "replicated-job" = "replicated") {
    super(`${mode} orchestrator`, options, mode);
  }

  protected override nodeMatters(change: NodeChange): boolean {
    return change.action === "remove" || nodeIsLost(this.options.store, change.object.ID);
  }

  protected override judge(view: Pick<WriteTransaction, "get">, _service: Service, task: Task): Verdict {
    return isTerminal(task.Status.State) || nodeIsLost(view, task.NodeID) ? "restart" : "keep";
  }

  protected override reconcileNodes(nodeIDs: string[]): Promise<void> {
    const { store } = this.options;
    for (const nodeID of nodeIDs) {
      if (nodeIsLost(store, nodeID)) this.checkTasks(store.find("tasks", "nodeID", nodeID));
    }
    return Promise.resolve();
  }

  protected override async reconcile(service: Service): Promise<void> {
    const { store } = this.options;
    const { live, dead } = slotsOf(
      store,
      service,
      (tasks) => this.supervisor.liveTasks(store, service, tasks),
    );
    const wanted = replicas(service.Spec);
    if (live.size > wanted) {
      const keep = new Set(slotsToKeep(live).slice(0, wanted));
      for (const slot of live.keys()) {
        if (keep.has(slot)) continue;
        const place = { ServiceID: service.ID, Slot: slot, NodeID: "" };
        dead.push(...store.find("tasks", "slot", slotKey(place)));
        live.delete(slot);
      }
    }
    this.updater.update(service, [...live.values()]);
    const added = await this.#fillLowest(service, wanted, live);
    await this.remove(dead.filter(({ Slot }) => Slot === undefined || !added.has(Slot)));
  }

  /** Creates tasks in the lowest free slots; resolves with those slots. */
  async #fillLowest(
    service: Service,
    wanted: number,
    live: ReadonlyMap<number, unknown>,
  ): Promise<Set<number>> {
    const free = lowestFree(wanted, live);
    await this.fill(service, free);
    return new Set(free);
  }

  /** Creates a task in each of `slots`, none of which has one. */
  protected async fill(service: Service, slots: number[]): Promise<void> {
    const { store } = this.options;
    const cluster = clusterOf(store);
    await store.batch(slots, (tx, slot) => {
      const current = tx.get("services", service.ID);
      if (current === undefined || !isSameVersion(current, service)) return;
      this.createIn(tx, current, { slot }, cluster);
    });
  }
}
