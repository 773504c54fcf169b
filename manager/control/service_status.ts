/** How many tasks of a service run, and how many should (SwarmKit `ListServiceStatuses`). */
import { replicas, type Service } from "../../api/service.ts";
import { isCompletedJob, slotKey, type Task } from "../../api/task.ts";
import type { ReadView } from "../store/store.ts";
import { goalOf, isOfIteration } from "../task/task.ts";

/** The Engine API's `ServiceStatus`. */
export interface ServiceStatus {
  RunningTasks: number;
  DesiredTasks: number;
  CompletedTasks: number;
}

/** Counts the tasks of `service`, of a job those of its present run. */
export function serviceStatus(view: ReadView, service: Service): ServiceStatus {
  const tasks = view.find("tasks", "serviceID", service.ID).filter((task) => isOfIteration(service, task));
  // What a node that is down last said of its tasks says nothing about now.
  const isUp = (nodeID: string) => (view.get("nodes", nodeID)?.Status.State ?? "down") !== "down";
  return {
    RunningTasks: tasks.filter((task) => task.Status.State === "running" && isUp(task.NodeID)).length,
    DesiredTasks: desiredTasks(service, tasks),
    // A slot counts once, however many did its work while they did not know of each other.
    CompletedTasks: new Set(tasks.filter(isCompletedJob).map(slotKey)).size,
  };
}

/** As Docker counts: of a global job those that have yet to complete, of a replicated one those at once. */
function desiredTasks({ Spec }: Service, tasks: readonly Task[]): number {
  if ("Replicated" in Spec.Mode) return replicas(Spec);
  if ("ReplicatedJob" in Spec.Mode) return Spec.Mode.ReplicatedJob.MaxConcurrent;
  return tasks.filter((task) => task.DesiredState === goalOf(task) && !isCompletedJob(task)).length;
}
