/** What a spec would change if it were submitted now, judged by what would judge it then. Nothing is written. */
import type { Clock } from "../../api/clock.ts";
import type { Node } from "../../api/node.ts";
import { clusterNetworks } from "../../api/predefined_network.ts";
import type { Random } from "../../api/random.ts";
import type { RolloutStage } from "../../api/rollout.ts";
import { stagesOf } from "../../api/rollout_labels.ts";
import { isJob, replicas, type Service, type ServiceSpec } from "../../api/service.ts";
import type { Task } from "../../api/task.ts";
import { clusterOf } from "../cluster/cluster_object.ts";
import { globalVerdict } from "../orchestrator/global_orchestrator.ts";
import { slotsToStart } from "../orchestrator/jobs/job.ts";
import { lowestFree, slotsOf, slotsToKeep } from "../orchestrator/replicated_orchestrator.ts";
import { liveTasks } from "../restart/restart_policy.ts";
import { whyRefused } from "../scheduler/mod.ts";
import type { ReadView } from "../store/store.ts";
import { isLeftover, isTaskDirty, isWanted, mayReload, newTask, type Place } from "../task/task.ts";
import { policyOf } from "../updater/policy.ts";
import { isSlotDirty } from "../updater/update_run.ts";
import { whyUnreachable } from "./explain/place_verdict.ts";
import { newService, requireChangeable, requireCreatable, withSpec } from "./services.ts";

/** Places, and devices, that a plan lists: what people read; the counts are whole. */
const MAX_LISTED = 1000;

/** What becomes of a place: of its task, or that it gets one. */
export type PlaceChange = "start" | "replace" | "reload" | "end";

/** A place of which something becomes. */
export interface PlannedPlace {
  /** The slot, or the node. */
  Place: string;
  Change: PlaceChange;
  /** Where its task is now, or will be where that is known. */
  NodeID?: string;
  Hostname?: string;
  /** Why it has to wait; it follows by itself. */
  Waits?: string;
}

/** What a spec would change. */
export interface ServicePlan {
  /** The service as it is; without it, one would be created. */
  Before: Service | undefined;
  After: Service;
  Counts: Record<PlaceChange | "keep", number>;
  Places: PlannedPlace[];
  /** How many places change at a time; 0 for all. */
  Parallelism: number;
  /** The stages in which they do; none where they all follow one another. */
  Stages: readonly RolloutStage[];
  /** Devices that cannot run a task of the spec. */
  Ineligible: { Count: number; Nodes: { NodeID: string; Hostname: string; Reason: string }[] };
}

/** What a plan needs besides the store. */
export interface PlanSurroundings {
  clock: Clock;
  random: Random;
}

/** Plans `spec` for `service`, or for one that does not exist yet. Throws what submitting it would. */
export function planService(
  view: ReadView,
  surroundings: PlanSurroundings,
  service: Service | undefined,
  spec: ServiceSpec,
): ServicePlan {
  const { clock } = surroundings;
  if (service === undefined) requireCreatable(view, spec);
  else requireChangeable(view, service, spec, service.Version.Index);
  const after = service === undefined ? newService("", clock, spec) : withSpec(clock, service, spec);
  const planner = new ServicePlanner(view, surroundings, after);
  planner.look();
  return { Before: service, ...planner.plan() };
}

class ServicePlanner {
  readonly #counts: ServicePlan["Counts"] = { start: 0, replace: 0, reload: 0, end: 0, keep: 0 };
  readonly #places: PlannedPlace[] = [];
  /** Tasks whose room is free before their successors need it. */
  readonly #leaving = new Set<string>();
  /** Nodes with a task that goes on: they are no question. */
  readonly #kept = new Set<string>();
  readonly #startFirst: boolean;

  constructor(
    readonly view: ReadView,
    readonly surroundings: PlanSurroundings,
    readonly after: Service,
  ) {
    this.#startFirst = policyOf(after).startFirst;
  }

  look(): void {
    const { after } = this;
    if (isJob(after.Spec)) this.#lookAtJob();
    else if ("Global" in after.Spec.Mode) this.#lookAtNodes();
    else this.#lookAtSlots();
  }

  plan(): Omit<ServicePlan, "Before"> {
    return {
      After: this.after,
      Counts: this.#counts,
      Places: this.#places,
      Parallelism: this.after.Spec.UpdateConfig?.Parallelism ?? 1,
      Stages: stagesOf(this.after.Spec),
      Ineligible: this.#ineligible(),
    };
  }

  #live(tasks: readonly Task[]): Task[] {
    return liveTasks(this.view, this.after, tasks, this.surroundings.clock.now());
  }

  #note(Change: PlaceChange, Place: string, nodeID?: string, Waits?: string): void {
    this.#counts[Change]++;
    if (this.#places.length >= MAX_LISTED) return;
    const node = nodeID ? this.view.get("nodes", nodeID) : undefined;
    this.#places.push({
      Place,
      Change,
      ...(node && { NodeID: node.ID, Hostname: hostnameOf(node) }),
      ...(Waits !== undefined && { Waits }),
    });
  }

  #lookAtSlots(): void {
    const { live } = slotsOf(this.view, this.after, (tasks) => this.#live(tasks));
    const wanted = replicas(this.after.Spec);
    const keep = new Set(slotsToKeep(live).slice(0, wanted));
    for (const [slot, tasks] of live) {
      if (keep.has(slot)) this.#judge(String(slot), tasks);
      else this.#end(String(slot), tasks);
    }
    for (const slot of lowestFree(wanted, live)) this.#note("start", String(slot));
  }

  #lookAtNodes(): void {
    const tasks = Map.groupBy(
      this.view.find("tasks", "serviceID", this.after.ID),
      (task) => task.NodeID,
    );
    for (const node of this.view.all("nodes")) {
      const live = this.#live(tasks.get(node.ID) ?? []), verdict = globalVerdict(this.after, node);
      if (live.length === 0) {
        if (verdict === "run") this.#note("start", node.ID, node.ID);
      } else if (verdict !== "end") {
        this.#judge(node.ID, live, verdict === "leave" ? whyUnreachable(node)?.Reason : undefined);
      } else if (live.some(isWanted)) this.#end(node.ID, live);
    }
  }

  /** Any update of a job is another run. */
  #lookAtJob(): void {
    const { after, view } = this, { Mode } = after.Spec;
    for (const task of view.find("tasks", "serviceID", after.ID)) {
      if (isLeftover(after, task)) {
        this.#end(task.Slot === undefined ? task.NodeID : String(task.Slot), [task]);
      }
    }
    if ("ReplicatedJob" in Mode) {
      for (const slot of slotsToStart(Mode.ReplicatedJob, [])) this.#note("start", String(slot));
      return;
    }
    for (const node of view.all("nodes")) {
      if (globalVerdict(after, node) === "run") this.#note("start", node.ID, node.ID);
    }
  }

  #judge(place: string, live: readonly Task[], waits?: string): void {
    const { view, after } = this;
    const [task] = live as [Task];
    if (!isSlotDirty(view, after, live)) {
      this.#counts.keep++;
      this.#kept.add(task.NodeID);
    } else if (live.length === 1 && mayReload(view, after, task)) {
      this.#note("reload", place, task.NodeID, waits);
      this.#kept.add(task.NodeID);
    } else {
      this.#note("replace", place, task.NodeID, waits);
      if (this.#startFirst) return;
      for (const each of live) if (isTaskDirty(view, after, each)) this.#leaving.add(each.ID);
    }
  }

  #end(place: string, tasks: readonly Task[]): void {
    this.#note("end", place, tasks[0]!.NodeID);
    for (const { ID } of tasks) this.#leaving.add(ID);
  }

  /** As the scheduler would judge each device once the tasks that leave have left. */
  #ineligible(): ServicePlan["Ineligible"] {
    const { view } = this;
    const found: ServicePlan["Ineligible"] = { Count: 0, Nodes: [] };
    for (const node of view.all("nodes")) {
      if (this.#kept.has(node.ID)) continue;
      const Reason = whyRefused(view, node, this.#sample(node.ID), this.#leaving);
      if (Reason === undefined) continue;
      found.Count++;
      if (found.Nodes.length < MAX_LISTED) {
        found.Nodes.push({ NodeID: node.ID, Hostname: hostnameOf(node), Reason });
      }
    }
    return found;
  }

  /** A task of the spec as the scheduler gets it. */
  #sample(nodeID: string): Task {
    const { view, after, surroundings: { clock, random } } = this;
    const isGlobal = "Global" in after.Spec.Mode || "GlobalJob" in after.Spec.Mode;
    const place: Place = isGlobal ? { nodeID } : { slot: 1 };
    const task = newTask(after, place, clusterOf(view), clock, random);
    const isAttached = clusterNetworks(after.Spec.TaskTemplate).length > 0;
    return isAttached ? { ...task, NetworkAttachments: [] } : task;
  }
}

function hostnameOf(node: Node): string {
  return node.Description?.Hostname || node.ID;
}
