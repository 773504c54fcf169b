/** What the orchestrators of both modes share: dirty sets, restarts, and the end of services. */
import { isGlobal, type Service } from "../../api/service.ts";
import type { Task } from "../../api/task.ts";
import { isTerminal } from "../../api/task_state.ts";
import type { Change, Commit, WriteTransaction } from "../store/store.ts";
import { CommitLoop, type ComponentOptions } from "../leader/commit_loop.ts";
import { type DelayedStart, RestartSupervisor } from "../restart/restart_supervisor.ts";
import { isWanted, withDesired } from "../task/task.ts";
import { Updater } from "../updater/updater.ts";

/** A change of a node. */
export type NodeChange = Extract<Change, { table: "nodes" }>;

/** Keeps the services of one mode in the state that their specs ask for. */
export abstract class ServiceOrchestrator {
  protected readonly supervisor: RestartSupervisor;
  protected readonly updater: Updater;
  protected readonly dirtyServices = new Set<string>();
  protected readonly dirtyNodes = new Set<string>();
  readonly #restarts = new Set<string>();
  readonly #removed = new Set<string>();
  readonly #loop: CommitLoop;
  /**
   * Tasks whose service was removed while nobody led are deleted at the start (SwarmKit `CheckTasks`), not
   * marked.
   */
  #starting = false;

  constructor(name: string, protected readonly options: ComponentOptions, readonly global: boolean) {
    this.supervisor = new RestartSupervisor(options, global);
    this.updater = new Updater(options, this.supervisor, (serviceID) => {
      this.dirtyServices.add(serviceID);
      this.#loop.wake();
    });
    this.#loop = new CommitLoop(name, options, {
      resync: () => this.#resync(),
      onCommit: (commit) => this.#onCommit(commit),
      run: () => this.#run(),
    });
  }

  start(): void {
    this.#starting = true;
    this.supervisor.start();
    this.updater.start();
    this.#loop.start();
  }

  async stop(): Promise<void> {
    await Promise.all([this.#loop.stop(), this.updater.stop(), this.supervisor.stop()]);
  }

  /** Brings one service to its spec. */
  protected abstract reconcile(service: Service): Promise<void>;
  /** Works off `dirtyNodes`. */
  protected abstract reconcileNodes(nodeIDs: string[]): Promise<void>;
  /** True if a change of a node can matter to this mode. */
  protected abstract nodeMatters(change: NodeChange): boolean;
  /** What to do with a wanted task: nothing, end it, or replace it as its restart policy says. */
  protected abstract judge(
    tx: Pick<WriteTransaction, "get">,
    service: Service,
    task: Task,
  ): "keep" | "end" | "restart";
  /** Called with a service of this mode that exists, and with undefined for `serviceID` once it is gone. */
  protected onService(_serviceID: string, _service: Service | undefined): void {}

  /** Has another look at wanted tasks. */
  protected checkTasks(tasks: Iterable<Task>): void {
    for (const task of tasks) {
      if ((task.Slot === 0) === this.global && isWanted(task)) this.#restarts.add(task.ID);
    }
  }

  #resync(): void {
    const { store } = this.options;
    for (const service of store.all("services")) {
      if (isGlobal(service.Spec) !== this.global) continue;
      this.onService(service.ID, service);
      this.dirtyServices.add(service.ID);
    }
    for (const node of store.all("nodes")) this.dirtyNodes.add(node.ID);
    for (const task of store.all("tasks")) {
      if ((task.Slot === 0) !== this.global) continue;
      if (store.get("services", task.ServiceID) === undefined) this.#removed.add(task.ServiceID);
      else if (isWanted(task) && this.judge(store, store.get("services", task.ServiceID)!, task) !== "keep") {
        this.#restarts.add(task.ID);
      }
      if (task.NodeID !== "" && store.get("nodes", task.NodeID) === undefined) {
        this.dirtyNodes.add(task.NodeID);
      }
    }
  }

  #onCommit(commit: Commit): boolean {
    for (const change of commit.changes) {
      if (change.table === "services") this.#onServiceChange(change.object, change.action === "remove");
      else if (change.table === "tasks") this.#onTaskChange(change.object, change.action === "remove");
      else if (change.table === "nodes" && this.nodeMatters(change)) this.dirtyNodes.add(change.object.ID);
    }
    return this.dirtyServices.size + this.dirtyNodes.size + this.#restarts.size + this.#removed.size > 0;
  }

  #onServiceChange(service: Service, removed: boolean): void {
    if (isGlobal(service.Spec) !== this.global) return;
    this.onService(service.ID, removed ? undefined : service);
    if (removed) this.dirtyServices.delete(service.ID);
    (removed ? this.#removed : this.dirtyServices).add(service.ID);
  }

  #onTaskChange(task: Task, removed: boolean): void {
    if ((task.Slot === 0) !== this.global || !isWanted(task)) return;
    if (removed) {
      this.dirtyServices.add(task.ServiceID);
      return;
    }
    const lost = () => {
      const service = this.options.store.get("services", task.ServiceID);
      return service !== undefined && this.judge(this.options.store, service, task) !== "keep";
    };
    if (isTerminal(task.Status.State) || (task.NodeID !== "" && lost())) this.#restarts.add(task.ID);
  }

  async #run(): Promise<void> {
    await this.#removeTasks();
    const nodes = [...this.dirtyNodes];
    this.dirtyNodes.clear();
    if (nodes.length > 0) await this.reconcileNodes(nodes);
    await this.#restartTasks();
    for (const serviceID of [...this.dirtyServices]) {
      this.dirtyServices.delete(serviceID);
      const service = this.options.store.get("services", serviceID);
      if (service) await this.reconcile(service);
    }
  }

  async #restartTasks(): Promise<void> {
    if (this.#restarts.size === 0) return;
    const taskIDs = [...this.#restarts];
    this.#restarts.clear();
    const starts: DelayedStart[] = [];
    await this.options.store.batch(taskIDs, (tx, id) => {
      const task = tx.get("tasks", id);
      const service = task && tx.get("services", task.ServiceID);
      if (!task || !service || !isWanted(task)) return;
      const verdict = this.judge(tx, service, task);
      if (verdict === "end") tx.update("tasks", withDesired(task, "shutdown"));
      if (verdict !== "restart") return;
      const start = this.supervisor.restart(tx, service, task);
      if (start) starts.push(start);
    });
    for (const start of starts) this.supervisor.delay(start);
  }

  async #removeTasks(): Promise<void> {
    const { store } = this.options;
    for (const serviceID of [...this.#removed]) {
      this.#removed.delete(serviceID);
      await store.batch(store.find("tasks", "serviceID", serviceID), (tx, { ID }) => {
        const task = tx.get("tasks", ID);
        if (task === undefined || task.DesiredState === "remove") return;
        if (this.#starting) tx.delete("tasks", ID);
        else tx.update("tasks", withDesired(task, "remove"));
      });
    }
    this.#starting = false;
  }
}
