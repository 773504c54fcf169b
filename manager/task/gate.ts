/** Which spec a task gets that the rollout did not make: in a rollout by stages, none gets the new one but by its stage. */
import { isOnlyByRollout, stagesOf } from "../../api/rollout_labels.ts";
import type { Service } from "../../api/service.ts";
import { isNodeBound, type Task } from "../../api/task.ts";
import type { ReadView } from "../store/store.ts";
import { isTaskDirty } from "./task.ts";

/** The service as a device sees it that is new to it: before the rollout is over, with the spec before. */
export function forNewcomer(service: Service): Service {
  const { PreviousSpec, UpdateStatus } = service;
  const open = UpdateStatus?.Rollout?.Ended === undefined && !UpdateStatus?.State.startsWith("rollback");
  if (PreviousSpec === undefined || !open || stagesOf(service.Spec).length === 0) return service;
  return { ...service, ...provenBefore(service) };
}

/** The service with the last spec whose update came to its end: what an update by stages from there can rely on. */
export function asProven(service: Service): Service {
  const base = forNewcomer(service), { State } = service.UpdateStatus ?? {};
  if (base !== service) return base;
  // Without a status it has not begun.
  const isUnproven = State === undefined || State === "updating" || State === "paused";
  return isUnproven && stagesOf(service.Spec).length === 0
    ? { ...service, ...provenBefore(service) }
    : service;
}

/** The spec to go back to from a rollout by stages: not one that itself never got to its end. */
export function provenBefore(
  { Proven, PreviousSpec, PreviousSpecVersion }: Service,
): Pick<Service, "Spec" | "SpecVersion"> | undefined {
  if (Proven !== undefined) return Proven;
  return PreviousSpec && { Spec: PreviousSpec, SpecVersion: PreviousSpecVersion ?? { Index: 0 } };
}

/** `replacement` of `task`, a task of `service`: the same program again where only the rollout may change it. */
export function asBefore(view: ReadView, service: Service, task: Task, replacement: Task): Task {
  if (task.SpecVersion?.Index === replacement.SpecVersion?.Index) {
    return task.Rollout ? { ...replacement, Rollout: { ...task.Rollout, Restarted: true } } : replacement;
  }
  if (!isOnlyByRollout(service.Spec) || !isTaskDirty(view, service, task)) return replacement;
  const { Spec, SpecVersion, ServiceAnnotations, Ports, Ingress, Variables } = task;
  // In a slot, another node may be chosen, for which they say nothing.
  const kept = Variables && isNodeBound(task) && { Variables };
  const { SpecVersion: _, Ports: _ports, Ingress: _ingress, ...rest } = replacement;
  return {
    ...rest,
    Spec,
    ServiceAnnotations,
    ...(SpecVersion && { SpecVersion }),
    ...(Ports && { Ports }),
    ...(Ingress && { Ingress }),
    ...kept,
  };
}
