/** Checks when a job runs by the clock. */
import { SECOND_NS } from "../duration.ts";
import type { FieldProblem } from "../errors.ts";
import { CONCURRENCY, labelledSchedule, MISSED, type Schedule } from "../schedule.ts";
import { modeOf, type ServiceSpec } from "../service.ts";
import { cronProblem } from "../window.ts";
import { integer, line, nonZero, oneOf, record, type Shape } from "./shape.ts";

/** Characters of a cron expression: six fields with lists. */
const MAX_CRON_LENGTH = 200;
/** A device that was busy, or an agent that was started anew, is later than a deadline below that. */
const MIN_DEADLINE_NS = 60 * SECOND_NS;

const fields = record({
  Cron: line(MAX_CRON_LENGTH),
  Missed: oneOf(MISSED),
  Deadline: nonZero(integer(0)),
  Concurrency: oneOf(CONCURRENCY),
});

/** `TaskTemplate.Schedule` as a client sends it; one that says nothing is none. */
export const scheduleShape: Shape<Schedule> = (value, path, problems) => {
  const found = fields(value, path, problems);
  return found && Object.keys(found).length > 0 ? { Cron: "", ...found } : undefined;
};

/** Notes everything that keeps `spec` from running by the clock as it says. */
export function checkSchedule(spec: ServiceSpec, problems: FieldProblem[]): void {
  const { schedule, problems: ofLabels } = labelledSchedule(spec.Labels, spec.TaskTemplate.Schedule);
  problems.push(...ofLabels);
  const { Cron, Missed = "skip", Deadline, Concurrency } = schedule;
  if (Object.keys(schedule).length === 0) return;
  const note = (name: string, message: string) =>
    problems.push({ field: `TaskTemplate.Schedule.${name}`, message });
  if (!Cron) note("Cron", "a schedule needs a cron expression");
  else {
    const problem = fieldsProblem(Cron) ?? cronProblem(Cron);
    if (problem !== undefined) note("Cron", `${problem}: current value is "${Cron}"`);
  }
  if (modeOf(spec) !== "global-job") {
    const mode = modeOf(spec);
    problems.push({
      field: "TaskTemplate.Schedule",
      message: `schedules are for global jobs, whose devices each keep the time: this is a ${mode} service`,
    });
  }
  if (Deadline !== undefined && Missed !== "once") {
    note("Deadline", "says how late what was missed may begin, which needs Missed once");
  }
  if (Deadline !== undefined && Deadline < MIN_DEADLINE_NS) {
    note("Deadline", `must be at least 1 min: current value is ${Deadline} ns`);
  }
  if (Concurrency === "allow") checkSideBySide(spec, note);
}

/** Years make a schedule end, which a job of the cluster does by being removed. */
function fieldsProblem(cron: string): string | undefined {
  const count = cron.trim().split(/\s+/).length;
  return count === 5 || count === 6 || cron.startsWith("@")
    ? undefined
    : "must have five fields (minute, hour, day, month, weekday), or six with seconds before them";
}

/** Runs side by side must not need what there is only once. */
function checkSideBySide(spec: ServiceSpec, note: (name: string, message: string) => void): void {
  const port = spec.EndpointSpec?.Ports?.find(({ PublishMode }) => PublishMode === "host");
  if (port !== undefined) {
    note(
      "Concurrency",
      `two runs at once cannot both have host port ${port.PublishedPort ?? port.TargetPort}`,
    );
  }
  if (spec.TaskTemplate.Networks?.some(({ Target }) => !["host", "none", "bridge"].includes(Target))) {
    note(
      "Concurrency",
      "two runs at once cannot both have the one address that a device's task has in a network",
    );
  }
}
