/**
 * Jobs that devices run by the clock, in their own time zone and also while they are offline: a member of the task template
 * of a global job, or labels of the service for clients that do not know the member:
 *
 *     covey.cron.schedule: 0 2 * * *
 *     covey.cron.missed: once
 *     covey.cron.deadline: 6h
 *     covey.cron.concurrency: forbid
 *
 * What a label says wins over the member; what no label says is the member's.
 */
import { parseGoDuration } from "./duration.ts";
import type { ServiceSpec } from "./service.ts";
import type { Task } from "./task.ts";

/** What all these labels begin with. */
const CRON_LABELS = "covey.cron.";
/** Runs of which a task's status tells, the newest: 2 KB of every manager's memory for each device. */
export const MAX_RUNS = 10;

/** What becomes of a time that passed while the device was off, its agent away or its clock not set. */
export const MISSED = ["skip", "once"] as const;
/** What becomes of a run whose time comes while the one before goes on. */
export const CONCURRENCY = ["forbid", "replace", "allow"] as const;

/**
 * When a job runs on its device.
 *
 * @example
 * ```ts
 * const nightly: Schedule = { Cron: "0 2 * * *", Missed: "once", Deadline: 6 * 3600e9 };
 * ```
 */
export interface Schedule {
  /** Minute, hour, day of the month, month, day of the week; seconds may stand before. In the device's time zone. */
  Cron: string;
  /** `skip` (the default) leaves out what was missed; with `once` the newest of what was missed is run. */
  Missed?: typeof MISSED[number];
  /** With `once`: how late, in nanoseconds, it may still begin; none: however late. */
  Deadline?: number;
  /** `forbid` (the default) leaves a run out while the one before goes on, `replace` ends that one, `allow` runs both. */
  Concurrency?: typeof CONCURRENCY[number];
}

/** How a run ended, or that it goes on; `skipped` and `missed` ones never began. */
export const RUN_STATES = ["running", "complete", "failed", "stopped", "skipped", "missed"] as const;

/**
 * One run of a scheduled job on its device, or a time at which there was none.
 *
 * @example
 * ```ts
 * const run: ScheduledRun = { Scheduled: "2026-01-01T02:00:00.000Z", State: "failed", ExitCode: 3 };
 * ```
 */
export interface ScheduledRun {
  /** The time that it was for, RFC 3339. */
  Scheduled: string;
  State: typeof RUN_STATES[number];
  StartedAt?: string;
  EndedAt?: string;
  ExitCode?: number;
  /** In words. */
  Reason?: string;
}

/** What labels and members say together, and what is wrong with the labels: `field` is the label. */
export interface LabelledSchedule {
  schedule: Partial<Schedule>;
  problems: { field: string; message: string }[];
}

/** `members` with what `labels` say. */
export function labelledSchedule(
  labels: Record<string, string> | undefined,
  members: Partial<Schedule> = {},
): LabelledSchedule {
  const schedule = { ...members } as Record<string, unknown>, problems: LabelledSchedule["problems"] = [];
  for (const [label, text] of Object.entries(labels ?? {})) {
    if (!label.startsWith(CRON_LABELS)) continue;
    const message = apply(schedule, label.slice(CRON_LABELS.length), text.trim());
    if (message !== undefined) problems.push({ field: `Labels.${label}`, message });
  }
  return { schedule, problems };
}

function apply(schedule: Record<string, unknown>, key: string, text: string): string | undefined {
  switch (key) {
    case "schedule":
      schedule.Cron = text;
      return undefined;
    case "missed":
      schedule.Missed = text;
      return oneOf(MISSED, text);
    case "concurrency":
      schedule.Concurrency = text;
      return oneOf(CONCURRENCY, text);
    case "deadline":
      schedule.Deadline = parseGoDuration(text);
      return schedule.Deadline === undefined ? `cannot be read: current value is "${text}"` : undefined;
    default:
      return "no such setting of a schedule";
  }
}

function oneOf(words: readonly string[], text: string): string | undefined {
  return words.includes(text) ? undefined : `must be ${words.join(" or ")}: current value is "${text}"`;
}

/** The schedule of a service; undefined if it has none. */
export function scheduleOf(spec: Pick<ServiceSpec, "Labels" | "TaskTemplate">): Schedule | undefined {
  return scheduleFrom(spec.Labels, spec.TaskTemplate.Schedule);
}

/** The schedule by which `task` runs its program again and again; undefined if it just runs it. */
export function taskSchedule(
  { Spec, ServiceAnnotations: { Labels } }: Pick<Task, "Spec" | "ServiceAnnotations">,
): Schedule | undefined {
  return scheduleFrom(Labels, Spec.Schedule);
}

function scheduleFrom(labels: Record<string, string> | undefined, member: Schedule | undefined) {
  const Cron = labels?.[`${CRON_LABELS}schedule`] ?? member?.Cron;
  return Cron === undefined ? undefined : labelledSchedule(labels, member).schedule as Schedule;
}
