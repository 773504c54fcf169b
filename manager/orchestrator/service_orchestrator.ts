/** What the orchestrators of all modes share: dirty sets, restarts, and the end of services. */
import type { Cluster } from "../../api/cluster.ts";
import { deepEqual } from "../../api/deep_equal.ts";
import { type ModeName, modeOf, type Service } from "../../api/service.ts";
import type { Task } from "../../api/task.ts";
import { isTerminal } from "../../api/task_state.ts";
import type { Change, Commit, ReadView, WriteTransaction } from "../store/store.ts";
import { CommitLoop, type ComponentOptions } from "../leader/commit_loop.ts";
import { type DelayedStart, RestartSupervisor } from "../restart/restart_supervisor.ts";
import { showOnService, showOnTask } from "../leader/show_reason.ts";
import type { WorkList } from "../leader/work_list.ts";
import { isLeftover, isOfIteration, isWanted, newTask, type Place, withDesired } from "../task/task.ts";
import { hasOtherLabels, variableNames } from "../task/variables.ts";
import { Updater } from "../updater/updater.ts";

/** A change of a node. */
export type NodeChange = Extract<Change, { table: "nodes" }>;

/** What to do with a wanted task: nothing, end it, or replace it as its restart policy says. */
export type Verdict = "keep" | "end" | "restart";

/** Keeps the services of one mode in the state that their specs ask for. */
export abstract class ServiceOrchestrator {
  protected readonly supervisor: RestartSupervisor;
  protected readonly updater: Updater;
  protected readonly dirtyServices: WorkList;
  protected readonly dirtyNodes: WorkList;
  readonly #restarts: WorkList;
  /** Services that are gone, whose tasks are not. */
  readonly #removed: WorkList;
  readonly #loop: CommitLoop;
  /**
   * Services that were removed while nobody led: their tasks are deleted (SwarmKit `CheckTasks`), not marked.
   */
  readonly #removedBefore = new Set<string>();
  #starting = false;

  constructor(readonly name: string, protected readonly options: ComponentOptions, readonly mode: ModeName) {
    this.supervisor = new RestartSupervisor(options, mode);
    this.updater = new Updater(options, this.supervisor, (serviceID) => {
      this.dirtyServices.add(serviceID);
      this.#loop.wake();
    });
    this.#loop = new CommitLoop(name, options, {
      resync: () => this.#resync(),
      onCommit: (commit) => this.#onCommit(commit),
      run: () => this.#run(),
    });
    this.dirtyServices = this.#loop.list("service", showOnService(options));
    this.dirtyNodes = this.#loop.list("node");
    this.#restarts = this.#loop.list("task", showOnTask(options));
    this.#removed = this.#loop.list("removed service");
  }

  start(): void {
    this.#starting = true;
    this.supervisor.start();
    this.updater.start();
    this.#loop.start();
    this.#starting = false;
  }

  async stop(): Promise<void> {
    await Promise.all([this.#loop.stop(), this.updater.stop(), this.supervisor.stop()]);
  }

  /** Brings one service to its spec. */
  protected abstract reconcile(service: Service): Promise<void>;
  /** Works off `dirtyNodes`, of which `nodeIDs` were taken; those that fail are named to it. */
  protected abstract reconcileNodes(nodeIDs: string[]): Promise<void>;
  /** True if a change of a node can matter to this mode. */
  protected abstract nodeMatters(change: NodeChange): boolean;
  protected abstract judge(tx: ReadView, service: Service, task: Task): Verdict;
  /** Called with a service of this mode that exists, and with undefined for `serviceID` once it is gone. */
  protected onService(_serviceID: string, _service: Service | undefined): void {}
  /** Called with each task that ended, of a service of this mode. */
  protected onEnded(_task: Task): void {}

  /** Asks for the end of `tasks` and of every trace of them. */
  protected async remove(tasks: Task[]): Promise<void> {
    await this.options.store.batch(tasks, (tx, { ID }) => {
      const task = tx.get("tasks", ID);
      if (task && task.DesiredState !== "remove") tx.update("tasks", withDesired(task, "remove"));
    });
  }

  /**
   * Creates a task of `service` in a place, unless it is there: it is, if it was written before and the answer was lost. What
   * an earlier run of a job left in the place ends with it, so that no device is asked for both.
   */
  protected createIn(
    tx: WriteTransaction,
    service: Service,
    place: Place,
    cluster: Cluster | undefined,
  ): void {
    const { clock, random } = this.options;
    const key = `${service.ID}/${"slot" in place ? place.slot : place.nodeID}`;
    const present = tx.find("tasks", "slot", key);
    if (present.some((task) => isWanted(task) && isOfIteration(service, task))) return;
    for (const task of present) {
      if (isLeftover(service, task)) tx.update("tasks", withDesired(task, "remove"));
    }
    tx.create("tasks", newTask(service, place, cluster, clock, random));
  }

  /** Has another look at wanted tasks. */
  protected checkTasks(tasks: Iterable<Task>): void {
    for (const task of tasks) if (isWanted(task) && this.#serviceOf(task)) this.#restarts.add(task.ID);
  }

  /** Has another look at nodes. */
  protected checkNodes(nodeIDs: readonly string[]): void {
    for (const id of nodeIDs) this.dirtyNodes.add(id);
    this.#loop.wake();
  }

  /** The service of `task` if it exists and has this mode. */
  #serviceOf(task: Task): Service | undefined {
    const service = this.options.store.get("services", task.ServiceID);
    return service && modeOf(service.Spec) === this.mode ? service : undefined;
  }

  #resync(): void {
    const { store } = this.options;
    for (const service of store.all("services")) {
      if (modeOf(service.Spec) !== this.mode) continue;
      this.onService(service.ID, service);
      this.dirtyServices.add(service.ID);
    }
    for (const node of store.all("nodes")) this.dirtyNodes.add(node.ID);
    for (const task of store.all("tasks")) {
      const service = store.get("services", task.ServiceID);
      if (service === undefined) {
        // Tasks of no service are anybody's to delete: their mode is not known any more.
        this.#removed.add(task.ServiceID);
        if (this.#starting) this.#removedBefore.add(task.ServiceID);
      }
      if (service === undefined || modeOf(service.Spec) !== this.mode) continue;
      if (isWanted(task) && this.#mayEnd(service, task)) this.#restarts.add(task.ID);
      if (task.NodeID !== "" && store.get("nodes", task.NodeID) === undefined) {
        this.dirtyNodes.add(task.NodeID);
      }
    }
  }

  #onCommit(commit: Commit): boolean {
    for (const change of commit.changes) {
      if (change.table === "services") {
        this.#onServiceChange(change.object, change.action === "remove", change.old);
      } else if (change.table === "tasks") this.#onTaskChange(change.object, change.action === "remove");
      else if (change.table === "variables") this.#onVariables();
      else if (change.table === "nodes") {
        if (this.nodeMatters(change)) this.dirtyNodes.add(change.object.ID);
        if (change.old && hasOtherLabels(change.old, change.object)) this.#onVariableLabels(change.object.ID);
      }
    }
    return this.dirtyServices.size + this.dirtyNodes.size + this.#restarts.size + this.#removed.size > 0;
  }

  #onVariables(): void {
    const { store } = this.options;
    for (const { ID, Spec } of store.all("services")) {
      if (modeOf(Spec) === this.mode && variableNames(store, Spec.TaskTemplate).length > 0) {
        this.dirtyServices.add(ID);
      }
    }
  }

  #onVariableLabels(nodeID: string): void {
    const { store } = this.options;
    for (const task of store.find("tasks", "nodeID", nodeID)) {
      const service = this.#serviceOf(task);
      if (service && variableNames(store, service.Spec.TaskTemplate).length > 0) {
        this.dirtyServices.add(service.ID);
      }
    }
  }

  #onServiceChange(service: Service, removed: boolean, old: Service | undefined): void {
    if (modeOf(service.Spec) !== this.mode) return;
    this.onService(service.ID, removed ? undefined : service);
    if (!removed && old !== undefined && isOnlyProgress(old, service)) return;
    if (removed) this.dirtyServices.delete(service.ID);
    (removed ? this.#removed : this.dirtyServices).add(service.ID);
  }

  #onTaskChange(task: Task, removed: boolean): void {
    const service = this.#serviceOf(task);
    if (service === undefined) return;
    if (isTerminal(task.Status.State)) this.onEnded(task);
    if (!isWanted(task)) return;
    if (removed) {
      this.dirtyServices.add(task.ServiceID);
      return;
    }
    if (isTerminal(task.Status.State) || (task.NodeID !== "" && this.#mayEnd(service, task))) {
      this.#restarts.add(task.ID);
    }
  }

  /** False if the task is to be kept as it is. One that cannot be judged comes to its judgement, which names it. */
  #mayEnd(service: Service, task: Task): boolean {
    try {
      return this.judge(this.options.store, service, task) !== "keep";
    } catch {
      return true;
    }
  }

  async #run(): Promise<void> {
    await this.#removeTasks();
    const nodes = this.dirtyNodes.take();
    if (nodes.length > 0) await this.reconcileNodes(nodes);
    await this.#restartTasks();
    await this.dirtyServices.each(async (serviceID) => {
      const service = this.options.store.get("services", serviceID);
      if (service) await this.reconcile(service);
    });
    this.dirtyNodes.finish();
  }

  async #restartTasks(): Promise<void> {
    await this.#restarts.commit(this.options.store, (tx, id): DelayedStart | undefined => {
      const task = tx.get("tasks", id);
      const service = task && tx.get("services", task.ServiceID);
      if (!task || !service || !isWanted(task)) return;
      const verdict = this.judge(tx, service, task);
      if (verdict === "end") tx.update("tasks", withDesired(task, "shutdown"));
      return verdict === "restart" ? this.supervisor.restart(tx, service, task) : undefined;
    }, (start) => {
      if (start) this.supervisor.delay(start);
    });
  }

  async #removeTasks(): Promise<void> {
    const { store } = this.options;
    await this.#removed.each(async (serviceID) => {
      await store.batch(store.find("tasks", "serviceID", serviceID), (tx, { ID }) => {
        const task = tx.get("tasks", ID);
        if (task === undefined || task.DesiredState === "remove") return;
        if (this.#removedBefore.has(serviceID)) tx.delete("tasks", ID);
        else tx.update("tasks", withDesired(task, "remove"));
      });
      this.#removedBefore.delete(serviceID);
    });
  }
}

/** True if all that changed are counts of a rollout, which ask for nothing. */
function isOnlyProgress(old: Service, service: Service): boolean {
  const before = old.UpdateStatus, after = service.UpdateStatus;
  return old.SpecVersion.Index === service.SpecVersion.Index && before?.State === after?.State &&
    before?.Rollout !== undefined && before.Rollout.State === after?.Rollout?.State &&
    before.Rollout.Stage === after.Rollout.Stage && deepEqual(before.Rollout.Retry, after.Rollout.Retry);
}
