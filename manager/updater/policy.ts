/** The update config in force, defaults filled in. Pure. Times in milliseconds. */
import { toMs } from "../../api/duration.ts";
import type { RolloutStage } from "../../api/rollout.ts";
import type { Service, ServiceSpec, UpdateConfig } from "../../api/service.ts";
import { rolloutConfig, stagesOf } from "../../api/rollout_labels.ts";

/** Milliseconds that a new task is watched for failure, unless the update config says otherwise. */
const DEFAULT_MONITOR_MS = 5000;
/** What an engine takes for a health check that says nothing (Docker). */
const DEFAULT_RETRIES = 3, DEFAULT_INTERVAL_MS = 30_000;

/** A stage with its defaults. */
export interface StagePolicy {
  /** Share of the fleet, 0 to 1; undefined for a stage by constraint. */
  share: number | undefined;
  /** Of all its devices, those that vanished meanwhile too; 0 where the failure threshold alone decides. */
  success: number;
  failure: number;
  bakeMs: number;
  timeoutMs: number;
  manual: boolean;
}

/** How one rollout goes on. */
export interface Policy {
  parallelism: number;
  delayMs: number;
  /** A task of the rollout that ends within it after it began to run has failed. */
  monitorMs: number;
  action: NonNullable<UpdateConfig["FailureAction"]>;
  ratio: number;
  startFirst: boolean;
  rollback: boolean;
  stages: StagePolicy[];
  /** Failures of devices that come back after the end before the others are held; undefined where the ratio says it. */
  maxReturneeFailures: number | undefined;
}

/** How the update, or the rollback that is going on, of `service` is made. A rollback has no stages. */
export function policyOf(service: Service): Policy {
  const rollback = service.UpdateStatus?.State.startsWith("rollback") ?? false;
  const config = rollback ? service.Spec.RollbackConfig : service.Spec.UpdateConfig;
  const delayMs = toMs(config?.Delay, 0);
  const monitorMs = Math.max(toMs(config?.Monitor || undefined, DEFAULT_MONITOR_MS), healthMs(service.Spec));
  const parallelism = config?.Parallelism ?? 1;
  const ratio = config?.MaxFailureRatio ?? 0;
  const stages = rollback ? [] : stagesOf(service.Spec);
  return {
    parallelism: parallelism === 0 ? Infinity : parallelism,
    delayMs,
    monitorMs: delayMs >= monitorMs ? delayMs + 1000 : monitorMs,
    action: config?.FailureAction ?? "pause",
    ratio,
    startFirst: config?.Order === "start-first",
    rollback,
    stages: stages.length > 0
      ? stages.map((stage) => stagePolicy(stage, ratio))
      : [{ ...ALL, failure: ratio }],
    maxReturneeFailures: rolloutConfig(service.Spec)?.MaxReturneeFailures,
  };
}

/** Docker's update is one stage of everything that no failure keeps from its end but by the ratio. */
const ALL: StagePolicy = { share: 1, success: 0, failure: 0, bakeMs: 0, timeoutMs: 0, manual: false };

function stagePolicy(stage: RolloutStage, ratio: number): StagePolicy {
  const failure = stage.FailureThreshold ?? ratio;
  return {
    share: stage.Percent === undefined ? undefined : stage.Percent / 100,
    failure,
    success: stage.SuccessThreshold ?? 0,
    bakeMs: toMs(stage.Bake, 0),
    timeoutMs: toMs(stage.Timeout, 0),
    manual: stage.Promotion === "manual",
  };
}

/** How long a health check of the spec takes at most to say that a task is ill. */
function healthMs({ TaskTemplate }: ServiceSpec): number {
  const check = TaskTemplate.ContainerSpec?.Healthcheck;
  if (check === undefined || check.Test?.[0] === "NONE") return 0;
  const intervalMs = toMs(check.Interval || undefined, DEFAULT_INTERVAL_MS);
  return toMs(check.StartPeriod, 0) + (check.Retries || DEFAULT_RETRIES) * intervalMs;
}
