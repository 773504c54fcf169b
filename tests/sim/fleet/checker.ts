/**
 * What a fleet must never see, checked on each commit.
 *
 * - **CANARY** a version that fails everywhere gets on no more devices than the first stage has, and passes no stage.
 * - **HELD** a rollout that is paused, timed out or aborted gives nobody its version; an aborted one never goes on.
 * - **GATE** nothing but a rollout by stages brings its version, before it has come to its end.
 * - **BACK** what has come to its end is rolled back by nobody but a person.
 * - **BUDGET** no device is taken down when, with it, more of its group would be down than may be.
 * - **KEEP** a task that runs, of the version that is wanted, is left alone.
 */
import type { Rollout } from "../../../api/rollout.ts";
import { stagesOf } from "../../../api/rollout_labels.ts";
import type { Service } from "../../../api/service.ts";
import { slotKey, type Task } from "../../../api/task.ts";
import { nodeMatches } from "../../../manager/placement/mod.ts";
import type { Commit, Store } from "../../../manager/store/store.ts";
import { isWanted } from "../../../manager/task/task.ts";
import { Violation } from "../raft/checker.ts";
import { BudgetChecker } from "./budget_checker.ts";
import { kindOf, versionOf } from "./versions.ts";

/** True while a rollout gives nobody its version. */
export function isHeld({ State }: Rollout): boolean {
  return State === "paused" || State === "timed_out" || State === "aborted";
}

/** True if a device that swaps tasks by itself is told to begin. */
function isWord(task: Task, old: Task | undefined): boolean {
  return task.Swap !== undefined && task.DesiredState === "running" && old?.DesiredState === "ready";
}

/** Follows the commits of a store. */
export class FleetChecker {
  /** Rolled back by a person, and not yet written. */
  rollsBack = false;
  /** Tasks that rollouts have made, and steps of theirs. */
  replaced = 0;
  readonly #store: Store;
  /** Of the present rollout: the devices that it has reached. */
  readonly #reached = new Set<string>();
  readonly #budgets: BudgetChecker;
  /** So many of them were found to be no more than may be. */
  #most = 0;
  #before: Service | undefined;

  constructor(store: Store) {
    this.#store = store;
    this.#budgets = new BudgetChecker(store);
  }

  /** All that happened since the last call is in the store. */
  sees(commit: Commit): void {
    const { changes } = commit;
    const services = changes.filter(({ table }) => table === "services").map(({ object }) =>
      object as Service
    );
    const service = services.at(-1) ?? this.#before;
    if (service === undefined) return;
    for (const each of services) this.#follow(each);
    const gone = new Set<string>();
    for (const { table, action, object, old } of changes) {
      if (table === "nodes" && object.Spec.Availability === "drain") gone.add(object.ID);
      if (table !== "tasks") continue;
      if (action === "create") this.#made(service, object);
      else if (action === "update" && isWord(object, old)) this.#reaches(service, object);
      else if (action === "update" && old && isWanted(old) && !isWanted(object)) this.#ended(service, old);
    }
    // Who takes a device away makes another one the canary.
    for (const nodeID of gone) this.#reached.delete(nodeID);
    this.#checkCanary(service);
    this.#budgets.sees(commit, service);
    this.#before = service;
  }

  #follow(service: Service): void {
    const before = this.#before?.UpdateStatus, after = service.UpdateStatus;
    const same = before?.Rollout !== undefined && before.Rollout.Number === after?.Rollout?.Number;
    if (before?.Rollout?.Number !== after?.Rollout?.Number) {
      this.#reached.clear();
      this.#most = 0;
    }
    if (same && before.Rollout?.State === "aborted" && after?.Rollout?.State !== "aborted") {
      throw new Violation("HELD", `an aborted rollout is ${after?.Rollout?.State}`);
    }
    const rollsBack = after?.State === "rollback_started" && before?.State !== "rollback_started";
    if (!rollsBack) return;
    if (!this.rollsBack && before?.Rollout?.Ended && !before.State.startsWith("rollback")) {
      const version = this.#before!.Spec.TaskTemplate.ProcessSpec?.Args?.[0];
      throw new Violation("BACK", `${version} had come to its end, and is rolled back: ${after.Message}`);
    }
    this.rollsBack = false;
  }

  #made(service: Service, task: Task): void {
    const { UpdateStatus, PreviousSpec, Spec } = service;
    const rollout = UpdateStatus?.Rollout, before = this.#before?.UpdateStatus?.Rollout;
    if (task.Rollout === undefined) {
      const open = PreviousSpec !== undefined && stagesOf(Spec).length > 0 && !rollout?.Ended &&
        !UpdateStatus?.State.startsWith("rollback");
      if (open && task.SpecVersion?.Index === service.SpecVersion.Index) {
        throw new Violation("GATE", `${versionOf(task)} is given to ${task.NodeID} by no rollout`);
      }
      return;
    }
    if (task.Rollout.Restarted) return;
    this.replaced++;
    const isOf = (each: Rollout | undefined) => each !== undefined && each.Number === task.Rollout!.Number;
    const may = [rollout, before].some((each) => isOf(each) && !isHeld(each!));
    if (!may) {
      throw new Violation(
        "HELD",
        `${versionOf(task)} is given to ${task.NodeID}, its rollout is held or over`,
      );
    }
    // One that its device swaps in is there once it gets the word.
    if (task.Swap === undefined) this.#reaches(service, task);
  }

  #reaches({ UpdateStatus }: Service, { Rollout, NodeID }: Task): void {
    if (UpdateStatus?.Rollout?.Number === Rollout?.Number) this.#reached.add(NodeID);
  }

  #ended(service: Service, task: Task): void {
    if (task.Status.State !== "running" || task.SpecVersion?.Index !== service.SpecVersion.Index) return;
    const node = this.#store.get("nodes", task.NodeID);
    if (node === undefined || node.Spec.Availability === "drain") return;
    if (this.#store.find("tasks", "slot", slotKey(task)).some(isWanted)) return;
    throw new Violation("KEEP", `task ${task.ID} on ${task.NodeID} runs the present version, and is ended`);
  }

  #checkCanary({ Spec, UpdateStatus }: Service): void {
    const [first] = stagesOf(Spec), rollout = UpdateStatus?.Rollout;
    const version = Spec.TaskTemplate.ProcessSpec?.Args?.[0] ?? "";
    if (first === undefined || rollout === undefined || kindOf(version) === "good") return;
    if (UpdateStatus!.State.startsWith("rollback")) return;
    if (rollout.Stage > 0 || rollout.State === "completed" || rollout.State === "awaiting_promotion") {
      throw new Violation("CANARY", `${version} has passed a stage: ${rollout.State} at ${rollout.Stage}`);
    }
    // Looked at where it grows.
    if (this.#reached.size <= this.#most) return;
    const nodes = this.#store.all("nodes"), early = { Constraints: [first.Constraint ?? ""] };
    const most = first.Percent === undefined
      ? nodes.filter((node) => nodeMatches(early, node)).length
      : Math.ceil(first.Percent / 100 * nodes.length);
    if (this.#reached.size > most) {
      throw new Violation("CANARY", `${version} was given to ${[...this.#reached]}, of which ${most} may be`);
    }
    this.#most = this.#reached.size;
  }
}
