/** Small objects for store tests. */
import type { Meta } from "../../../api/objects.ts";
import type { Node } from "../../../api/node.ts";
import type { Service } from "../../../api/service.ts";
import type { Task } from "../../../api/task.ts";

function meta(ID: string): Meta {
  return { ID, Version: { Index: 0 }, CreatedAt: "", UpdatedAt: "" };
}

export function service(ID: string, Name = ID, Labels: Record<string, string> = {}): Service {
  return {
    ...meta(ID),
    Spec: { Name, Labels, TaskTemplate: {}, Mode: { Replicated: { Replicas: 1 } } },
    SpecVersion: { Index: 0 },
  } as Service;
}

export function task(ID: string, ServiceID: string, NodeID = "", Slot = 1): Task {
  return {
    ...meta(ID),
    Spec: {},
    ServiceID,
    Slot,
    NodeID,
    ServiceAnnotations: { Name: ServiceID, Labels: {} },
    Status: { Timestamp: "", State: "new", Message: "created" },
    DesiredState: "running",
  } as Task;
}

export function node(ID: string, Hostname = ID): Node {
  return {
    ...meta(ID),
    Spec: { Name: "", Labels: {}, Role: "worker", Availability: "active" },
    Role: "worker",
    Status: { State: "ready", Addr: "" },
    Description: {
      Hostname,
      Platform: { OS: "linux", Architecture: "amd64" },
      Resources: {},
      Engine: { EngineVersion: "" },
      Runtimes: [],
    },
  } as Node;
}
