/**
 * Rollouts as labels of a service, so that compose files and clients that do not know `UpdateConfig.Rollout` can set them:
 *
 *     covey.rollout.stages: 1%, 10%, node.labels.ring==early, 100%
 *     covey.rollout.bake: 10m                       of every stage
 *     covey.rollout.stage.1.promotion: manual       of the first stage alone
 *     covey.rollout.max-returnee-failures: 3
 *     covey.rollout.budgets: node.labels.site=1, node.labels.region=10%
 *     covey.rollout.device-rollback: 5m
 *     covey.rollout.apply-window: 0 2 * * *
 *     covey.rollout.apply-grace: 2h
 *     covey.rollout.consent: true
 *
 * What a label says wins over the member; what no label says is the member's.
 */
import { parseGoDuration } from "./duration.ts";
import type { FailureBudget, RolloutConfig, RolloutStage } from "./rollout.ts";
import type { ServiceSpec } from "./service.ts";

/** What all these labels begin with. */
const ROLLOUT_LABELS = "covey.rollout.";

type StageField = Exclude<keyof RolloutStage, "Percent" | "Constraint">;

const STAGE_FIELDS: Record<string, StageField> = {
  "success-threshold": "SuccessThreshold",
  "failure-threshold": "FailureThreshold",
  bake: "Bake",
  timeout: "Timeout",
  promotion: "Promotion",
};

/** What labels say, and what is wrong with them: `field` is the label. */
export interface LabelledRollout {
  config: RolloutConfig;
  problems: { field: string; message: string }[];
}

const known = new WeakMap<object, RolloutConfig | undefined>();

/** The rollout that `spec` asks for by members and labels together; undefined if it asks for none. */
export function rolloutConfig(spec: Pick<ServiceSpec, "Labels" | "UpdateConfig">): RolloutConfig | undefined {
  if (known.has(spec)) return known.get(spec);
  const { config } = labelledRollout(spec.Labels, spec.UpdateConfig?.Rollout);
  const found = Object.keys(config).length > 0 ? config : undefined;
  known.set(spec, found);
  return found;
}

/** The stages that an update of `spec` goes through; none if it is as Docker's. */
export function stagesOf(spec: Pick<ServiceSpec, "Labels" | "UpdateConfig">): readonly RolloutStage[] {
  return rolloutConfig(spec)?.Stages ?? [];
}

/** True if none but the rollout brings the new version to a device: what ends there is run again as it was. */
export function isOnlyByRollout(spec: Pick<ServiceSpec, "Labels" | "UpdateConfig">): boolean {
  return stagesOf(spec).length > 0 || rolloutConfig(spec)?.DeviceRollback !== undefined;
}

/** `members` with what `labels` say. */
export function labelledRollout(
  labels: Record<string, string>,
  members: RolloutConfig = {},
): LabelledRollout {
  const problems: LabelledRollout["problems"] = [];
  const ours = Object.entries(labels).filter(([key]) => key.startsWith(ROLLOUT_LABELS)).sort();
  if (ours.length === 0) return { config: members, problems };
  const config: RolloutConfig = { ...members };
  const listed = labels[`${ROLLOUT_LABELS}stages`];
  // Settings of a stage by its number go with the stages that they were written for.
  const stages: RolloutStage[] = listed === undefined
    ? (members.Stages ?? []).map((stage) => ({ ...stage }))
    : listed.split(",").map((text) => stageOf(text.trim()));
  const setters = ours.map(([field, text]) => ({
    field,
    key: field.slice(ROLLOUT_LABELS.length),
    text: text.trim(),
  }));
  // What is said of one stage wins over what is said of all.
  setters.sort((a, b) => Number(a.key.startsWith("stage.")) - Number(b.key.startsWith("stage.")));
  for (const { field, key, text } of setters) {
    const problem = apply(config, stages, key, text);
    if (problem !== undefined) problems.push({ field: `Labels.${field}`, message: problem });
  }
  if (stages.length > 0) config.Stages = stages;
  return { config, problems };
}

function stageOf(text: string): RolloutStage {
  const percent = /^(\d+(?:\.\d+)?)\s*%$/.exec(text)?.[1];
  return percent === undefined ? { Constraint: text } : { Percent: Number(percent) };
}

/** `node.labels.site=1` or `node.labels.region=10%`; what cannot be read is given back. */
function budgetOf(text: string): FailureBudget | string {
  const [, label, digits, percent] = /^([^=\s]+)\s*=\s*(\d{1,9}(?:\.\d+)?)\s*(%?)$/.exec(text) ?? [];
  if (label === undefined || (!percent && digits!.includes("."))) return text;
  return { Label: label, [percent ? "MaxDownPercent" : "MaxDown"]: Number(digits) };
}

function apply(config: RolloutConfig, stages: RolloutStage[], key: string, text: string): string | undefined {
  if (key === "stages") return undefined;
  if (key === "max-returnee-failures") {
    if (!/^\d{1,9}$/.test(text)) return `must be a whole number: current value is "${text}"`;
    config.MaxReturneeFailures = Number(text);
    return undefined;
  }
  if (key === "budgets") {
    const budgets = text.split(",").map((each) => budgetOf(each.trim()));
    const odd = budgets.find((each) => typeof each === "string");
    if (odd !== undefined) return `cannot be read: current value is "${odd}"`;
    config.Budgets = budgets as FailureBudget[];
    return undefined;
  }
  if (key === "device-rollback") {
    config.DeviceRollback = parseGoDuration(text) ?? -1;
    return config.DeviceRollback < 0 ? `cannot be read: current value is "${text}"` : undefined;
  }
  const [, window, member] = /^(download|apply)-(window|grace)$/.exec(key) ?? [];
  if (window !== undefined) {
    return applyWindow(config, window === "apply" ? "Apply" : "Download", member!, text);
  }
  if (key === "consent") {
    config.Consent = text === "true";
    return text === "true" || text === "false"
      ? undefined
      : `must be true or false: current value is "${text}"`;
  }
  const [, number, name = key] = /^stage\.(\d+)\.(.+)$/.exec(key) ?? [];
  const field = STAGE_FIELDS[name];
  if (field === undefined) return "no such setting of a rollout";
  const value = valueOf(field, text);
  if (value === undefined) return `cannot be read: current value is "${text}"`;
  // Nothing comes after the last stage, so "all are promoted by hand" means those before.
  const all = field === "Promotion" && stages.length > 1 ? stages.slice(0, -1) : stages;
  const meant = number === undefined ? all : stages.slice(Number(number) - 1, Number(number));
  if (meant.length === 0) return number === undefined ? "there are no stages" : `there is no stage ${number}`;
  for (const stage of meant) Object.assign(stage, { [field]: value });
}

function applyWindow(
  config: RolloutConfig,
  field: "Download" | "Apply",
  member: string,
  text: string,
): string | undefined {
  const grace = member === "grace" ? parseGoDuration(text) : undefined;
  if (member === "grace" && grace === undefined) return `cannot be read: current value is "${text}"`;
  const before = config[field] ?? { Cron: "", Grace: 0 };
  config[field] = grace === undefined ? { ...before, Cron: text } : { ...before, Grace: grace };
}

function valueOf(field: StageField, text: string): string | number | undefined {
  if (field === "Promotion") return text;
  if (field === "Bake" || field === "Timeout") return parseGoDuration(text);
  const [, digits, percent] = /^(\d+(?:\.\d+)?)\s*(%?)$/.exec(text) ?? [];
  return digits === undefined ? undefined : Number(digits) / (percent ? 100 : 1);
}
