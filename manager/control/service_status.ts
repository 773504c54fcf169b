/** How many tasks of a service run, and how many should (SwarmKit `ListServiceStatuses`). */
import { isGlobal, replicas, type Service } from "../../api/service.ts";
import type { ReadView } from "../store/store.ts";

/** The Engine API's `ServiceStatus`. */
export interface ServiceStatus {
  RunningTasks: number;
  DesiredTasks: number;
  CompletedTasks: number;
}

/** Counts the tasks of `service`. */
export function serviceStatus(view: ReadView, service: Service): ServiceStatus {
  const tasks = view.find("tasks", "serviceID", service.ID);
  // What a node that is down last said of its tasks says nothing about now.
  const isUp = (nodeID: string) => (view.get("nodes", nodeID)?.Status.State ?? "down") !== "down";
  const wanted = tasks.filter((task) => task.DesiredState === "running").length;
  return {
    RunningTasks: tasks.filter((task) => task.Status.State === "running" && isUp(task.NodeID)).length,
    DesiredTasks: isGlobal(service.Spec) ? wanted : replicas(service.Spec),
    CompletedTasks: 0,
  };
}
