/** How tasks are shown. */
import type { Task, TaskStatus } from "../../../api/task.ts";
import { predefinedNetwork } from "../../../api/predefined_network.ts";
import { attachedNetworkView } from "./network_view.ts";
import { inOrder, taskSpecView } from "./task_spec_view.ts";

function statusView(status: TaskStatus): Record<string, unknown> {
  return inOrder({
    Timestamp: status.Timestamp,
    State: status.State,
    Message: status.Message,
    Err: status.Err || undefined,
    ContainerStatus: status.ContainerStatus,
    PortStatus: status.PortStatus ?? {},
  }, []);
}

/** The networks a task is in; addresses are its engine's business. */
function attachments({ Spec }: Task): unknown[] | undefined {
  return Spec.Networks?.flatMap(({ Target }) => {
    const network = predefinedNetwork(Target);
    return network === undefined ? [] : [{ Network: attachedNetworkView(network) }];
  });
}

/** A task. */
export function taskView(task: Task): Record<string, unknown> {
  return inOrder({
    ID: task.ID,
    Version: task.Version,
    CreatedAt: task.CreatedAt,
    UpdatedAt: task.UpdatedAt,
    Labels: {},
    Spec: taskSpecView(task.Spec, false, true),
    ServiceID: task.ServiceID,
    Slot: task.Slot,
    NodeID: task.NodeID || undefined,
    Status: statusView(task.Status),
    DesiredState: task.DesiredState,
    NetworksAttachments: attachments(task),
    GenericResources: task.AssignedGenericResources,
    JobIteration: task.JobIteration,
    Variables: task.Variables,
  }, []);
}
