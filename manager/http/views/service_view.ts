/** How services are shown. */
import type { Service, ServiceSpec, UpdateConfig } from "../../../api/service.ts";
import type { ServiceStatus } from "../../control/service_status.ts";
import { inOrder, taskSpecView } from "./task_spec_view.ts";

/** What Docker fills in for an update or rollback configuration. Nanoseconds. */
const UPDATE_DEFAULTS: UpdateConfig = {
  Parallelism: 1,
  FailureAction: "pause",
  Monitor: 5_000_000_000,
  MaxFailureRatio: 0,
  Order: "stop-first",
};
const UPDATE_ORDER = ["Parallelism", "Delay", "FailureAction", "Monitor", "MaxFailureRatio", "Order"];

function updateView(
  update: UpdateConfig | undefined,
  defaults: boolean,
): Record<string, unknown> | undefined {
  if (update === undefined && !defaults) return undefined;
  return inOrder({ ...(defaults && UPDATE_DEFAULTS), ...update }, UPDATE_ORDER);
}

function serviceSpecView(spec: ServiceSpec, defaults: boolean): Record<string, unknown> {
  return inOrder({
    Name: spec.Name,
    Labels: spec.Labels,
    TaskTemplate: taskSpecView(spec.TaskTemplate, defaults),
    Mode: spec.Mode,
    UpdateConfig: updateView(spec.UpdateConfig, defaults),
    RollbackConfig: updateView(spec.RollbackConfig, defaults),
    EndpointSpec: spec.EndpointSpec,
  }, []);
}

/** A service; with `defaults`, what is absent from the spec shows the value in force. */
export function serviceView(
  service: Service,
  defaults = false,
  status?: ServiceStatus,
): Record<string, unknown> {
  const { EndpointSpec } = service.Spec;
  return inOrder({
    ID: service.ID,
    Version: service.Version,
    CreatedAt: service.CreatedAt,
    UpdatedAt: service.UpdatedAt,
    Spec: serviceSpecView(service.Spec, defaults),
    PreviousSpec: service.PreviousSpec && serviceSpecView(service.PreviousSpec, false),
    Endpoint: inOrder({ Spec: EndpointSpec ?? {}, Ports: EndpointSpec?.Ports }, []),
    UpdateStatus: service.UpdateStatus && inOrder(service.UpdateStatus, UPDATE_STATUS_ORDER),
    ServiceStatus: status,
  }, []);
}

const UPDATE_STATUS_ORDER = ["State", "StartedAt", "CompletedAt", "Message"];
