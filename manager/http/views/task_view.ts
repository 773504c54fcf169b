/** How tasks are shown. */
import type { Version } from "../../../api/objects.ts";
import type { Task, TaskStatus } from "../../../api/task.ts";
import { predefinedNetwork } from "../../../api/predefined_network.ts";
import type { Network } from "../../../api/network.ts";
import { attachedNetworkView, attachedPredefinedView } from "./network_view.ts";
import { taskSpecView } from "./task_spec_view.ts";

/** A network of the swarm by its ID. */
type NetworkLookUp = (id: string) => Network | undefined;

function statusView(status: TaskStatus): Record<string, unknown> {
  return {
    Timestamp: status.Timestamp,
    State: status.State,
    Message: status.Message,
    Err: status.Err || undefined,
    ContainerStatus: status.ContainerStatus,
    PortStatus: status.PortStatus ?? {},
    Runs: status.Runs,
  };
}

/** The networks a task is in; addresses in those that every engine has are its engine's business. */
function attachments(
  { Spec, NetworkAttachments = [] }: Task,
  networkOf: NetworkLookUp,
): unknown[] | undefined {
  const predefined = (Spec.Networks ?? []).flatMap(({ Target }) => {
    const network = predefinedNetwork(Target);
    return network === undefined ? [] : [{ Network: attachedPredefinedView(network) }];
  });
  const own = NetworkAttachments.flatMap(({ NetworkID, Addresses, Aliases }) => {
    const network = networkOf(NetworkID);
    return network ? [{ Network: attachedNetworkView(network), Addresses, ...(Aliases && { Aliases }) }] : [];
  });
  const all = [...own, ...predefined];
  return all.length > 0 ? all : undefined;
}

/** Which run of a job it is. The first one has no number: Go leaves a zero out. */
export function iterationView({ Index }: Version): Partial<Version> {
  return Index === 0 ? {} : { Index };
}

/** A task. `networkOf` finds the networks that it is attached to. */
export function taskView(task: Task, networkOf: NetworkLookUp = () => undefined): Record<string, unknown> {
  return {
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
    NetworksAttachments: attachments(task, networkOf),
    GenericResources: task.AssignedGenericResources,
    JobIteration: task.JobIteration && iterationView(task.JobIteration),
    Variables: task.Variables,
  };
}
