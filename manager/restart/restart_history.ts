import { toMs } from "../../api/duration.ts";
import type { Clock } from "../../api/clock.ts";
import { isGlobal, type Service } from "../../api/service.ts";
import type { Task } from "../../api/task.ts";
import type { ReadView } from "../store/store.ts";
import { slotKey } from "../task/task.ts";

interface Restarts {
  specVersion: number | undefined;
  total: number;
  /** Monotonic milliseconds of the latest restarts, oldest first; at most `MaxAttempts` of them are kept. */
  recent: number[];
}

/**
 * How often the task of a slot was restarted, for restart policies with `MaxAttempts`. Lives in memory;
 * rebuilt from the tasks that history kept. A new spec version starts to count anew.
 */
export class RestartHistory {
  #services = new Map<string, Map<string, Restarts>>();

  constructor(readonly clock: Clock) {}

  /** Counts `replacement` as a restart in its slot. */
  record(replacement: Task, atMs = this.clock.monotonic()): void {
    const attempts = replacement.Spec.RestartPolicy?.MaxAttempts ?? 0;
    if (attempts === 0) return;
    const slots = this.#services.get(replacement.ServiceID) ?? new Map<string, Restarts>();
    this.#services.set(replacement.ServiceID, slots);
    const key = slotKey(replacement);
    const specVersion = replacement.SpecVersion?.Index;
    let restarts = slots.get(key);
    if (restarts?.specVersion !== specVersion) restarts = undefined;
    restarts ??= { specVersion, total: 0, recent: [] };
    restarts.total++;
    restarts.recent.push(atMs);
    if (restarts.recent.length > attempts) restarts.recent.shift();
    slots.set(key, restarts);
  }

  /** True if the policy of `task` permits one more attempt; restarts older than its window do not count. */
  permits(task: Task): boolean {
    const policy = task.Spec.RestartPolicy;
    const attempts = policy?.MaxAttempts ?? 0;
    if (attempts === 0) return true;
    const restarts = this.#services.get(task.ServiceID)?.get(slotKey(task));
    if (restarts === undefined || restarts.specVersion !== task.SpecVersion?.Index) return true;
    const windowMs = toMs(policy?.Window, 0);
    if (windowMs === 0) return restarts.total < attempts;
    const since = this.clock.monotonic() - windowMs;
    return restarts.recent.filter((at) => at >= since).length < attempts;
  }

  /** Forgets a service. */
  forget(serviceID: string): void {
    this.#services.delete(serviceID);
  }

  /**
   * Rebuilds the history of every service of one mode from its tasks: all tasks of a slot but the first are
   * restarts.
   */
  rebuild(view: ReadView, global: boolean): void {
    this.#services.clear();
    for (const service of view.all("services")) {
      const limited = (service.Spec.TaskTemplate.RestartPolicy?.MaxAttempts ?? 0) > 0;
      if (limited && isGlobal(service.Spec) === global) this.#rebuildService(view, service);
    }
  }

  #rebuildService(view: ReadView, service: Service): void {
    const seen = new Set<string>();
    for (const task of view.find("tasks", "serviceID", service.ID)) {
      if (task.SpecVersion?.Index !== service.SpecVersion.Index || task.DesiredState === "remove") continue;
      const key = slotKey(task);
      const age = this.clock.now() - Date.parse(task.CreatedAt);
      if (seen.has(key)) this.record(task, this.clock.monotonic() - age);
      else seen.add(key);
    }
  }
}
