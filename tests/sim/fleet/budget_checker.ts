/** BUDGET: see {@linkcode FleetChecker}. Counts by itself what the managers count. */
import type { Node } from "../../../api/node.ts";
import { rolloutConfig } from "../../../api/rollout_labels.ts";
import type { Service } from "../../../api/service.ts";
import type { Commit, Store } from "../../../manager/store/store.ts";
import { isWanted } from "../../../manager/task/task.ts";
import { Violation } from "../raft/checker.ts";

/** Follows which devices are without the service, and who took it from them. */
export class BudgetChecker {
  readonly #store: Store;
  /** Devices on which the service runs, as far as the managers know. */
  readonly #served = new Set<string>();

  constructor(store: Store) {
    this.#store = store;
  }

  sees({ changes }: Commit, service: Service): void {
    const touched = new Set<string>(), taken = new Set<string>();
    for (const { table, action, object, old } of changes) {
      if (table === "nodes") touched.add(object.ID);
      if (table !== "tasks") continue;
      touched.add(object.NodeID);
      const isTaken = action === "update" && old && isWanted(old) && old.Status.State === "running" &&
        (!isWanted(object) || object.Status.State === "rejected");
      if (isTaken) taken.add(object.NodeID);
    }
    const fell = new Set<string>();
    for (const id of touched) {
      const isServed = this.#isServed(service, id);
      if (this.#served.has(id) && !isServed) fell.add(id);
      if (isServed) this.#served.add(id);
      else this.#served.delete(id);
    }
    const lost = new Set([...fell].filter((id) => !taken.has(id)));
    for (const id of fell) if (taken.has(id)) this.#check(service, id, lost);
  }

  #isServed(service: Service, nodeID: string): boolean {
    return this.#store.get("nodes", nodeID)?.Status.State === "ready" &&
      this.#store.find("tasks", "slot", `${service.ID}/${nodeID}`)
        .some((task) => isWanted(task) && task.Status.State === "running");
  }

  /** What was `lost` in the same commit may have been so after the device was taken. */
  #check(service: Service, nodeID: string, lost: ReadonlySet<string>): void {
    for (const { Label, MaxDown, MaxDownPercent } of rolloutConfig(service.Spec)?.Budgets ?? []) {
      const valueOf = ({ Spec }: Node) => Spec.Labels[Label.slice("node.labels.".length)];
      const group = valueOf(this.#store.get("nodes", nodeID)!);
      if (group === undefined) continue;
      const members = this.#store.all("nodes").filter((node) => valueOf(node) === group);
      const down = members.filter(({ ID }) => !this.#served.has(ID) && !lost.has(ID));
      const most = MaxDown ?? Math.floor(members.length * MaxDownPercent! / 100);
      if (down.length > most) {
        const names = down.map(({ ID }) => ID).join(", ");
        throw new Violation(
          "BUDGET",
          `${nodeID} is taken down: of ${group}, ${names} are, and ${most} may be`,
        );
      }
    }
  }
}
