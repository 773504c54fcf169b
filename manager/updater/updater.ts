/** Rolling updates (SwarmKit `manager/orchestrator/update`). */
import { deepEqual } from "../../api/deep_equal.ts";
import type { Node } from "../../api/node.ts";
import type { Service } from "../../api/service.ts";
import type { Task } from "../../api/task.ts";
import type { Commit } from "../store/store.ts";
import { CommitLoop, type ComponentOptions } from "../leader/commit_loop.ts";
import type { RestartSupervisor } from "../restart/restart_supervisor.ts";
import { showOnService } from "../leader/show_reason.ts";
import type { WorkList } from "../leader/work_list.ts";
import { isPending } from "../task/swap.ts";
import { isSlotDirty, UpdateRun } from "./update_run.ts";

/**
 * Moves the slots of services to their present spec. At most one run per service; a new spec ends the run of
 * the old one. All its state can be rebuilt: a new leader's orchestrators hand it the slots again.
 */
export class Updater {
  #loop: CommitLoop;
  #runs = new Map<string, UpdateRun>();
  readonly #dirty: WorkList;

  constructor(
    readonly options: ComponentOptions,
    readonly supervisor: RestartSupervisor,
    /** Told when the run of a service is over, to hand in what is still (or again) dirty. */
    readonly onDone: (serviceID: string) => void,
  ) {
    this.#loop = new CommitLoop("updater", options, {
      resync: () => this.#wakeAll(),
      onCommit: (commit) => this.#onCommit(commit),
      run: () => this.#run(),
    });
    this.#dirty = this.#loop.list("service", showOnService(options));
  }

  start(): void {
    this.#loop.start();
  }

  async stop(): Promise<void> {
    for (const serviceID of [...this.#runs.keys()]) this.cancel(serviceID);
    await this.#loop.stop();
  }

  /**
   * Takes the live slots of `service`, each as its list of live tasks, and updates the dirty ones among them.
   * A service whose update is paused is left alone until its user changes it. With `partial`, other slots may
   * be dirty too.
   */
  update(service: Service, slots: readonly (readonly Task[])[], partial = false): void {
    const state = service.UpdateStatus?.State;
    let run = this.#runs.get(service.ID);
    if (run && !run.serves(service)) {
      this.cancel(service.ID);
      run = undefined;
    }
    // All that is done then is to take back what has not begun.
    const isPaused = state === "paused" || state === "rollback_paused";
    if (isPaused && !slots.some((tasks) => tasks.some(isPending))) return;
    const { store } = this.options;
    if (run === undefined) {
      const open = state === "updating" || state === "rollback_started" ||
        service.UpdateStatus?.Rollout?.Retry !== undefined;
      const isDirty = slots.some((tasks) => isSlotDirty(store, service, tasks));
      if (!isDirty && (partial || !open)) return;
      run = new UpdateRun(this.options, this.supervisor, service, () => this.#wake(service.ID));
      this.#runs.set(service.ID, run);
    }
    this.#wake(service.ID);
  }

  /** Ends the run of a service; what it has begun goes on. */
  cancel(serviceID: string): void {
    this.#runs.get(serviceID)?.cancel();
    this.#runs.delete(serviceID);
    this.#dirty.delete(serviceID);
  }

  #wake(serviceID: string): void {
    this.#dirty.add(serviceID);
    this.#loop.wake();
  }

  #wakeAll(): void {
    for (const serviceID of this.#runs.keys()) this.#dirty.add(serviceID);
  }

  #onCommit(commit: Commit): boolean {
    if (this.#runs.size === 0) return false;
    for (const change of commit.changes) {
      if (change.table === "tasks") {
        const run = this.#runs.get(change.object.ServiceID);
        if (run === undefined) continue;
        run.observe(change.object);
        this.#dirty.add(change.object.ServiceID);
      } else if (change.table === "nodes") {
        this.#onNode(change.object, change.old);
      } else if (change.table === "services" && change.action === "remove") {
        this.cancel(change.object.ID);
      }
    }
    return this.#dirty.size > 0;
  }

  #onNode(node: Node, old: Node | undefined): void {
    const same = old !== undefined && old.Status.State === node.Status.State &&
      old.Spec.Availability === node.Spec.Availability && deepEqual(old.Spec.Labels, node.Spec.Labels);
    if (same) return;
    for (const run of this.#runs.values()) run.observeNode(node);
    this.#wakeAll();
  }

  async #run(): Promise<void> {
    await this.#dirty.each(async (serviceID) => {
      const run = this.#runs.get(serviceID);
      if (run === undefined) return;
      const over = await run.step();
      if (!over || this.#runs.get(serviceID) !== run) return;
      this.cancel(serviceID);
      this.onDone(serviceID);
    });
  }
}
