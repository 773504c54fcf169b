/** Checks how a service is rolled out: the members, the labels, and what they come to together. */
import { parseConstraint } from "../constraint.ts";
import { SECOND_NS } from "../duration.ts";
import type { FieldProblem } from "../errors.ts";
import type { FailureBudget, RolloutConfig, RolloutStage } from "../rollout.ts";
import { labelledRollout } from "../rollout_labels.ts";
import { isGlobal, type ServiceSpec, type UpdateConfig } from "../service.ts";
import { cronProblem, type MaintenanceWindow } from "../window.ts";
import { decimal, flag, integer, isObject, line, list, nonZero, oneOf, record, type Shape } from "./shape.ts";

/** More than anybody promotes, and each is looked at in every step. */
const MAX_STAGES = 20;
/** Groups within groups within groups: more levels than any fleet has. */
const MAX_BUDGETS = 8;
/** What names a label of a device. */
const DEVICE_LABEL = /^(node|engine)\.labels\.[a-z0-9\-_.]+$/i;
/** Nanoseconds that a new task is watched, unless the update config says otherwise (Docker). */
const DEFAULT_MONITOR_NS = 5 * SECOND_NS;

const budgetFields = record({ Label: line(), MaxDown: integer(0), MaxDownPercent: decimal }, ["Label"]);
const budget: Shape<FailureBudget> = (value, path, problems) => {
  const { Label, ...most } = budgetFields(value, path, problems) ?? {};
  return Label === undefined ? undefined : { Label, ...most };
};

/** Characters of a cron expression: seven fields with lists. */
const MAX_CRON_LENGTH = 200;

const windowFields = record({ Cron: line(MAX_CRON_LENGTH), Grace: integer(0) });
const windowShape: Shape<MaintenanceWindow> = (value, path, problems) => {
  const fields = windowFields(value, path, problems);
  return fields && { Cron: "", Grace: 0, ...fields };
};

/** `UpdateConfig.Rollout` as a client sends it. */
export const rolloutShape: Shape<RolloutConfig> = record({
  Stages: list(
    record({
      Percent: decimal,
      Constraint: line(),
      SuccessThreshold: decimal,
      FailureThreshold: decimal,
      Bake: nonZero(integer(0)),
      Timeout: nonZero(integer(0)),
      Promotion: oneOf(["automatic", "manual"]),
    }),
    MAX_STAGES,
  ),
  MaxReturneeFailures: integer(0),
  Budgets: list(budget, MAX_BUDGETS),
  DeviceRollback: nonZero(integer(0)),
  Download: windowShape,
  Apply: windowShape,
  Consent: flag,
});

/**
 * `update` with the rollout of `current` where the client that sent `raw` does not know such a member, so that it cannot
 * lose it. To do without, one sends an empty object.
 */
export function keepRollout(
  update: UpdateConfig,
  raw: unknown,
  current: UpdateConfig | undefined,
): UpdateConfig {
  const knows = isObject(raw) && Object.hasOwn(raw, "Rollout");
  return knows || current?.Rollout === undefined ? update : { ...update, Rollout: current.Rollout };
}

/** Notes everything that keeps `spec` from being rolled out as it says. */
export function checkRollout(spec: ServiceSpec, problems: FieldProblem[]): void {
  checkOrder(spec, "UpdateConfig", problems);
  checkOrder(spec, "RollbackConfig", problems);
  if (spec.RollbackConfig?.Rollout !== undefined) {
    problems.push({ field: "RollbackConfig.Rollout", message: "a rollback has no stages" });
  }
  const { config, problems: ofLabels } = labelledRollout(spec.Labels, spec.UpdateConfig?.Rollout);
  problems.push(...ofLabels);
  const stages = config.Stages ?? [], field = "UpdateConfig.Rollout";
  const continues = spec.UpdateConfig?.FailureAction === "continue";
  if (config.MaxReturneeFailures !== undefined && continues) {
    problems.push({
      field: `${field}.MaxReturneeFailures`,
      message: "FailureAction continue goes on whatever fails",
    });
  }
  checkBudgets(spec, config.Budgets ?? [], `${field}.Budgets`, problems);
  checkWindows(config, problems);
  if (config.DeviceRollback !== undefined) checkDeviceRollback(spec, config.DeviceRollback, problems);
  if (stages.length === 0) return;
  if (!isGlobal(spec)) problems.push({ field, message: "stages are for global services" });
  if (continues) {
    problems.push({ field, message: "FailureAction continue goes on whatever fails, stages do not" });
  }
  if (stages.length > MAX_STAGES) {
    problems.push({
      field: `${field}.Stages`,
      message: `has ${stages.length} stages, at most ${MAX_STAGES} are allowed`,
    });
  }
  checkStages(stages, spec.UpdateConfig, `${field}.Stages`, problems);
}

/** A window that opens for less than a minute is missed by a device that is a little late. */
const MIN_GRACE_NS = 60 * SECOND_NS;

function checkWindows(config: RolloutConfig, problems: FieldProblem[]): void {
  for (const name of ["Download", "Apply", "Consent"] as const) {
    const field = `UpdateConfig.Rollout.${name}`;
    if (config[name] && config.DeviceRollback === undefined) {
      const message = "needs DeviceRollback: else devices do not bring a new version in by themselves";
      problems.push({ field, message });
    }
    if (name === "Consent" || config[name] === undefined) continue;
    const { Cron, Grace } = config[name], problem = cronProblem(Cron);
    if (problem !== undefined) {
      problems.push({ field: `${field}.Cron`, message: `${problem}: current value is "${Cron}"` });
    }
    if (Grace < MIN_GRACE_NS) {
      const message = `the window is open for less than a minute: current value is ${Grace} ns`;
      problems.push({ field: `${field}.Grace`, message });
    }
  }
}

/** Nanoseconds in which a program can be stopped and another started; less would call every version bad. */
const MIN_DEVICE_ROLLBACK_NS = SECOND_NS;

function checkDeviceRollback(spec: ServiceSpec, deadline: number, problems: FieldProblem[]): void {
  const field = "UpdateConfig.Rollout.DeviceRollback";
  if (!isGlobal(spec)) problems.push({ field, message: "devices go back by themselves in global services" });
  // A label that cannot be read has been told of already.
  if (deadline >= 0 && deadline < MIN_DEVICE_ROLLBACK_NS) {
    problems.push({ field, message: `must be at least 1 s: current value is ${deadline} ns` });
  }
}

/** Two copies that cannot stand side by side on a device must not be asked to. */
function checkOrder(
  spec: ServiceSpec,
  name: "UpdateConfig" | "RollbackConfig",
  problems: FieldProblem[],
): void {
  if (spec[name]?.Order !== "start-first" || !isGlobal(spec)) return;
  const field = `${name}.Order`;
  const port = spec.EndpointSpec?.Ports?.find((each) => each.PublishMode === "host" && each.PublishedPort);
  if (port !== undefined) {
    const message =
      `start-first needs two copies on a node, which cannot both have host port ${port.PublishedPort}`;
    problems.push({ field, message });
  }
  if (spec.TaskTemplate.Placement?.MaxReplicas === 1) {
    problems.push({ field, message: "start-first needs two copies on a node, MaxReplicas allows one" });
  }
}

function checkBudgets(
  spec: ServiceSpec,
  budgets: readonly FailureBudget[],
  path: string,
  problems: FieldProblem[],
): void {
  if (budgets.length === 0) return;
  if (!isGlobal(spec)) problems.push({ field: path, message: "budgets are for global services" });
  if (budgets.length > MAX_BUDGETS) {
    problems.push({
      field: path,
      message: `has ${budgets.length} budgets, at most ${MAX_BUDGETS} are allowed`,
    });
  }
  const labels = new Set<string>();
  for (const [index, { Label, MaxDown, MaxDownPercent: percent }] of budgets.entries()) {
    const note = (message: string, name?: keyof FailureBudget) =>
      problems.push({ field: `${path}[${index}]${name ? `.${name}` : ""}`, message });
    if (!DEVICE_LABEL.test(Label)) {
      note(`must be node.labels.… or engine.labels.…: current value is "${Label}"`, "Label");
    }
    if (labels.has(Label)) note(`${Label} has a budget already`, "Label");
    labels.add(Label);
    if ((MaxDown === undefined) === (percent === undefined)) {
      note("must have a MaxDown or a MaxDownPercent, and not both");
    }
    const never = "with none that may be down, no device could ever be updated";
    if (MaxDown === 0) note(never, "MaxDown");
    if (percent === 0) note(never, "MaxDownPercent");
    if (percent !== undefined && !(percent >= 0 && percent <= 100)) {
      note(`must be more than 0 and at most 100: current value is ${percent}`, "MaxDownPercent");
    }
  }
}

function checkStages(
  stages: readonly RolloutStage[],
  update: UpdateConfig | undefined,
  path: string,
  problems: FieldProblem[],
): void {
  let before = 0;
  for (const [index, stage] of stages.entries()) {
    const note = (message: string, name?: keyof RolloutStage) =>
      problems.push({ field: `${path}[${index}]${name ? `.${name}` : ""}`, message });
    checkMembers(stage, note);
    checkThresholds(stage, update?.MaxFailureRatio ?? 0, note);
    const monitor = update?.Monitor || DEFAULT_MONITOR_NS;
    if (stage.Timeout !== undefined && stage.Timeout > 0 && stage.Timeout <= monitor) {
      note(
        `ends before the monitor period of ${monitor / SECOND_NS} s, so that no stage can be done`,
        "Timeout",
      );
    }
    if (stage.Percent === undefined) continue;
    if (stage.Percent <= before) note(`must be more than the ${before} % of the stage before`, "Percent");
    before = stage.Percent;
  }
  const last = stages.at(-1)!, at = `${path}[${stages.length - 1}]`;
  if (last.Percent !== 100) problems.push({ field: at, message: "the last stage must be 100 %" });
  if (last.Promotion === "manual") {
    problems.push({
      field: `${at}.Promotion`,
      message: "there is no stage after the last one to promote to",
    });
  }
}

type Note = (message: string, name?: keyof RolloutStage) => void;

function checkMembers({ Percent, Constraint, Promotion }: RolloutStage, note: Note): void {
  if ((Percent === undefined) === (Constraint === undefined)) {
    note("must have a Percent or a Constraint, and not both");
  }
  if (Percent !== undefined && !(Percent > 0 && Percent <= 100)) {
    note(`must be more than 0 and at most 100: current value is ${Percent}`, "Percent");
  }
  if (Constraint !== undefined) {
    const parsed = parseConstraint(Constraint);
    if (typeof parsed === "string") note(parsed, "Constraint");
  }
  if (Promotion !== undefined && Promotion !== "automatic" && Promotion !== "manual") {
    note(`must be automatic or manual: current value is "${Promotion}"`, "Promotion");
  }
}

function checkThresholds(stage: RolloutStage, ratio: number, note: Note): void {
  for (const name of ["SuccessThreshold", "FailureThreshold"] as const) {
    const value = stage[name];
    if (value !== undefined && !(value >= 0 && value <= 1)) {
      note(`must be 0 to 1: current value is ${value}`, name);
    }
  }
  const failure = stage.FailureThreshold ?? ratio;
  if (stage.SuccessThreshold !== undefined && stage.SuccessThreshold > 1 - failure + Number.EPSILON) {
    note(`cannot be met where a share of ${failure} may fail`, "SuccessThreshold");
  }
}
