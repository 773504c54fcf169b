/** How tasks are shown. */
import type { Task, TaskStatus } from "../../../api/task.ts";
import { predefinedNetwork } from "../../../api/predefined_network.ts";
import { attachedNetworkView, attachedPredefinedView } from "./network_view.ts";
import type { ReadView } from "../../store/store.ts";
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

/** The networks a task is in; addresses in those that every engine has are its engine's business. */
function attachments({ Spec, NetworkAttachments = [] }: Task, view: ReadView): unknown[] | undefined {
  const predefined = (Spec.Networks ?? []).flatMap(({ Target }) => {
    const network = predefinedNetwork(Target);
    return network === undefined ? [] : [{ Network: attachedPredefinedView(network) }];
  });
  const own = NetworkAttachments.flatMap(({ NetworkID, Addresses, Aliases }) => {
    const network = view.get("networks", NetworkID);
    return network ? [{ Network: attachedNetworkView(network), Addresses, ...(Aliases && { Aliases }) }] : [];
  });
  const all = [...own, ...predefined];
  return all.length > 0 ? all : undefined;
}

/** A task. */
export function taskView(task: Task, view: ReadView): Record<string, unknown> {
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
    NetworksAttachments: attachments(task, view),
    GenericResources: task.AssignedGenericResources,
    JobIteration: task.JobIteration,
    Variables: task.Variables,
  }, []);
}
