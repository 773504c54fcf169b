/** How services are shown: as JSON, which leaves out what is undefined. */
import { deepEqual } from "../../../api/deep_equal.ts";
import { SECOND_NS } from "../../../api/duration.ts";
import {
  RUNTIME_CONTAINER,
  type Service,
  type ServiceSpec,
  type UpdateConfig,
} from "../../../api/service.ts";
import type { ServicePlan } from "../../control/service_plan.ts";
import type { ServiceStatus } from "../../control/service_status.ts";
import { inOrder, networksView, taskSpecView } from "./task_spec_view.ts";
import { iterationView } from "./task_view.ts";

/** What Docker fills in for an update or rollback configuration. Nanoseconds. */
const UPDATE_DEFAULTS: UpdateConfig = {
  Parallelism: 1,
  FailureAction: "pause",
  Monitor: 5 * SECOND_NS,
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

/** How a service is shown. */
export interface ServiceViewOptions {
  /** Show the value in force where the spec has none. */
  defaults?: boolean;
  /** Call every runtime `container`: Docker's own clients refuse to write back a container view of any other. */
  asContainer?: boolean;
  status?: ServiceStatus | undefined;
}

function serviceSpecView(spec: ServiceSpec, { defaults = false, asContainer = false }: ServiceViewOptions) {
  const task = taskSpecView(spec.TaskTemplate, defaults);
  if (asContainer) task.Runtime = RUNTIME_CONTAINER;
  // Shown where they were named.
  if (spec.Networks && deepEqual(spec.Networks, spec.TaskTemplate.Networks)) task.Networks = undefined;
  return {
    Name: spec.Name,
    Labels: spec.Labels,
    TaskTemplate: task,
    Mode: spec.Mode,
    UpdateConfig: updateView(spec.UpdateConfig, defaults),
    RollbackConfig: updateView(spec.RollbackConfig, defaults),
    Networks: networksView(spec.Networks),
    EndpointSpec: spec.EndpointSpec,
  };
}

/** A service. */
export function serviceView(service: Service, options: ServiceViewOptions = {}): Record<string, unknown> {
  const { EndpointSpec, TaskTemplate } = service.Spec;
  // As Docker does, which allocates an endpoint only where there is something to publish or a network to have
  // an address in.
  const isAllocated = EndpointSpec?.Ports !== undefined ||
    (TaskTemplate.Networks !== undefined && EndpointSpec?.Mode !== "dnsrr");
  return {
    ID: service.ID,
    Version: service.Version,
    CreatedAt: service.CreatedAt,
    UpdatedAt: service.UpdatedAt,
    Spec: serviceSpecView(service.Spec, options),
    PreviousSpec: service.PreviousSpec &&
      serviceSpecView(service.PreviousSpec, { ...options, defaults: false }),
    Endpoint: service.Endpoint ??
      (isAllocated ? { Spec: EndpointSpec ?? {}, Ports: EndpointSpec?.Ports } : { Spec: {} }),
    UpdateStatus: service.UpdateStatus && inOrder(service.UpdateStatus, UPDATE_STATUS_ORDER),
    ServiceStatus: options.status,
    JobStatus: service.JobStatus &&
      { ...service.JobStatus, JobIteration: iterationView(service.JobStatus.JobIteration) },
  };
}

/** As it is shown unless more is asked for. */
export function plainServiceView(service: Service): Record<string, unknown> {
  return serviceView(service);
}

/** The same for Docker's own clients. */
export function containerServiceView(service: Service): Record<string, unknown> {
  return serviceView(service, { asContainer: true });
}

const UPDATE_STATUS_ORDER = ["State", "StartedAt", "CompletedAt", "Message"];

/** What a spec would change. */
export function planView({ Before, After, ...plan }: ServicePlan): Record<string, unknown> {
  return {
    Service: { ...(Before && { ID: Before.ID }), Name: After.Spec.Name },
    ...(Before && { Before: serviceSpecView(Before.Spec, {}) }),
    After: serviceSpecView(After.Spec, {}),
    ...plan,
  };
}
