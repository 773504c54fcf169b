/** Transactions on services (SwarmKit `controlapi/service.go`). */
import type { Clock } from "../../api/clock.ts";
import { timestamp } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import { newID, type Random } from "../../api/random.ts";
import { stagesOf } from "../../api/rollout_labels.ts";
import { isJob, modeOf, type Service, type ServiceSpec } from "../../api/service.ts";
import type { ReadView, Store, WriteTransaction } from "../store/store.ts";
import { requireDependencies } from "./payloads.ts";
import { requireNetworks } from "./service_networks.ts";
import { requireVariables } from "./variables.ts";
import { asProven, forNewcomer } from "../task/gate.ts";
import { requireBudgets } from "./budgets.ts";
import { requireStartOrder } from "./start_order.ts";
import { requireVersion } from "./version.ts";

/** Creates a service and resolves with its ID. Throws `already_exists` if the name is taken. */
export async function createService(
  store: Store,
  { clock, random }: { clock: Clock; random: Random },
  spec: ServiceSpec,
): Promise<string> {
  const service = newService(newID(random), clock, spec);
  await store.update((tx) => {
    requireCreatable(tx, spec);
    tx.create("services", service);
  });
  return service.ID;
}

/** A service that nobody has seen yet. */
export function newService(ID: string, clock: Clock, spec: ServiceSpec): Service {
  return {
    ID,
    Version: { Index: 0 },
    CreatedAt: "",
    UpdatedAt: "",
    Spec: spec,
    SpecVersion: { Index: 0 },
    ...(isJob(spec) && { JobStatus: { JobIteration: { Index: 0 }, LastExecution: timestamp(clock) } }),
  };
}

/** Throws what keeps a service of `spec` from being created, in Docker's order. */
export function requireCreatable(view: ReadView, spec: ServiceSpec): void {
  requireBudgets(view, spec);
  requireUsed(view, spec);
  if (view.find("services", "name", spec.Name.toLowerCase()).length > 0) {
    throw new CoveyError(
      "already_exists",
      `name conflicts with an existing object: service ${spec.Name} already exists`,
    );
  }
}

/** Throws where something is not there that `spec` uses; `id` is the service's own, on an update. */
function requireUsed(view: ReadView, spec: ServiceSpec, id?: string): void {
  requireDependencies(view, spec.TaskTemplate);
  requireNetworks(view, spec, id);
  requireVariables(view, spec.TaskTemplate);
  requireStartOrder(view, spec);
}

/**
 * Replaces the spec. `version` is the one the client read; it becomes the version of the new spec. Throws `not_found`,
 * `aborted` for a stale version, `unimplemented` for another name, mode or runtime. A job runs again, whatever changed.
 */
export async function updateService(
  store: Store,
  clock: Clock,
  id: string,
  version: number,
  spec: ServiceSpec,
): Promise<void> {
  await store.update((tx) => {
    const service = requireService(tx, id);
    requireChangeable(tx, service, spec, version);
    writeSpec(tx, clock, service, spec);
  });
}

/** Throws what keeps `service`, read at `version`, from getting `spec`, in Docker's order. */
export function requireChangeable(
  view: ReadView,
  service: Service,
  spec: ServiceSpec,
  version: number,
): void {
  requireBudgets(view, spec);
  requireUsed(view, spec, service.ID);
  if (modeOf(service.Spec) !== modeOf(spec)) {
    throw new CoveyError("unimplemented", "service mode change is not allowed");
  }
  if (service.Spec.TaskTemplate.Runtime !== spec.TaskTemplate.Runtime) {
    throw new CoveyError("unimplemented", "service runtime change is not allowed");
  }
  if (service.Spec.Name !== spec.Name) {
    throw new CoveyError("unimplemented", "renaming services is not supported");
  }
  requireVersion(service, version);
}

/** Gives `service` another spec, checked before, which is rolled out from then on. */
export function writeSpec(tx: WriteTransaction, clock: Clock, service: Service, spec: ServiceSpec): void {
  tx.update("services", withSpec(clock, service, spec));
}

/** `service` with another spec, as an update writes it. */
export function withSpec(clock: Clock, service: Service, spec: ServiceSpec): Service {
  const { UpdateStatus: _reset, Proven: _, ...kept } = service;
  // Without stages it is as in Docker: the previous spec is the one before, whatever came of it.
  const base = stagesOf(spec).length > 0 ? asProven(service) : forNewcomer(service);
  return {
    ...kept,
    Spec: spec,
    SpecVersion: { Index: service.Version.Index },
    PreviousSpec: service.Spec,
    PreviousSpecVersion: service.SpecVersion,
    ...nextRun(service, clock),
    ...(base !== service && { Proven: { Spec: base.Spec, SpecVersion: base.SpecVersion } }),
  };
}

/** The status of a job's next run; nothing for a service that is no job. */
function nextRun({ Spec, JobStatus }: Service, clock: Clock): Pick<Service, "JobStatus"> {
  if (!isJob(Spec)) return {};
  const Index = (JobStatus?.JobIteration.Index ?? 0) + 1;
  return { JobStatus: { JobIteration: { Index }, LastExecution: timestamp(clock) } };
}

/** Swaps spec and previous spec. Throws `failed_precondition` where there is no previous one; else as {@linkcode updateService}. */
export async function rollbackService(
  store: Store,
  clock: Clock,
  id: string,
  version: number,
): Promise<void> {
  await store.update((tx) => {
    const service = requireService(tx, id);
    if (service.PreviousSpec === undefined) {
      throw new CoveyError("failed_precondition", `service ${id} does not have a previous spec`);
    }
    requireVersion(service, version);
    // What the present spec does not use may have been removed meanwhile.
    requireUsed(tx, service.PreviousSpec, id);
    const { Proven: _, ...kept } = service;
    tx.update("services", {
      ...kept,
      Spec: service.PreviousSpec,
      SpecVersion: service.PreviousSpecVersion ?? { Index: 0 },
      PreviousSpec: service.Spec,
      PreviousSpecVersion: service.SpecVersion,
      ...(isJob(service.Spec) ? nextRun(service, clock) : {
        UpdateStatus: {
          State: "rollback_started",
          StartedAt: timestamp(clock),
          Message: "manually requested rollback",
        },
      }),
    });
  });
}

/** Removes a service; its tasks are the orchestrator's to end. Throws `not_found`. */
export async function removeService(store: Store, id: string): Promise<void> {
  await store.update((tx) => {
    requireService(tx, id);
    tx.delete("services", id);
  });
}

function requireService(tx: WriteTransaction, id: string): Service {
  const service = tx.get("services", id);
  if (service === undefined) throw new CoveyError("not_found", `service ${id} not found`);
  return service;
}
