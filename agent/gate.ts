/**
 * What stands against a swap on the device now: somebody there who locked it or has yet to agree, a window that is
 * closed, or something that the new task needs and the device does not have. None of it is a failure.
 */
import type { Platform } from "../api/objects.ts";
import { platformMatches } from "../api/platform.ts";
import type { SwapReport } from "../api/swap.ts";
import type { Task } from "../api/task.ts";
import type { MaintenanceWindow, opensAt } from "../api/window.ts";
import { versionHash } from "./bad_versions.ts";

/** Room that the agent's own folder has to have before anything is changed: for the state of the swap, and the logs. */
const MIN_FREE_BYTES = 16 * 1024 * 1024;
/** A lock that does not say until when it holds, or that somebody forgot, ends this long after it was set. */
export const MAX_LOCK_MS = 24 * 3_600_000;
/** Characters of a version's hash by which somebody agrees to it. */
const HASH_PREFIX = 12;

/** What the device says of itself. */
export interface DeviceFacts {
  /** Unix milliseconds. */
  nowMs: number;
  /** When a window opens, by the device's own time zone. */
  opensAt: typeof opensAt;
  platform: Platform;
  /** Of the disk with the agent's folder, and of the memory; undefined where the system does not say. */
  freeDiskBytes: number | undefined;
  availableMemoryBytes: number | undefined;
  /** The file with the lock: what stands in it, and when it was written (Unix milliseconds). */
  lock: { text: string; writtenMs: number } | undefined;
  /** Until when (Unix milliseconds) tasks keep their own successors away, by their IDs. */
  taskLocks?: ReadonlyMap<string, number>;
  /** Words of the file in which somebody agrees: hashes of versions, or `all`. */
  consent: readonly string[];
}

/** Why the new task must not be made ready now. */
export function whyNotPrepare({ Swap }: Task, facts: DeviceFacts): SwapReport | undefined {
  return closed(Swap?.Download, "downloads", facts);
}

/** Why the swap of `old` for `next` must not begin now. `others` are the other tasks that run on the device. */
export function whyNotBegin(
  next: Task,
  old: Task,
  others: readonly Task[],
  facts: DeviceFacts,
): SwapReport | undefined {
  const reason = unfit(next, old, others, facts);
  if (reason !== undefined) return { Kind: "ineligible", Reason: reason };
  return locked(facts) ?? lockedBy(old, facts) ?? closed(next.Swap?.Apply, "updates", facts) ??
    refused(next, facts);
}

/** Says so while the device's lock is set. */
export function locked({ lock, nowMs }: Pick<DeviceFacts, "lock" | "nowMs">): SwapReport | undefined {
  if (lock === undefined) return undefined;
  const latestMs = lock.writtenMs + MAX_LOCK_MS, said = Date.parse(lock.text.trim());
  const untilMs = Number.isNaN(said) ? latestMs : Math.min(said, latestMs);
  return nowMs < untilMs
    ? { Kind: "locked", Reason: "the device's update lock is set", ...until(untilMs) }
    : undefined;
}

function lockedBy({ ID }: Task, { taskLocks, nowMs }: DeviceFacts): SwapReport | undefined {
  const untilMs = taskLocks?.get(ID) ?? 0;
  if (untilMs <= nowMs) return undefined;
  return { Kind: "locked", Reason: "the task holds its update lock", ...until(untilMs) };
}

function closed(
  window: MaintenanceWindow | undefined,
  what: string,
  { opensAt, nowMs }: DeviceFacts,
): SwapReport | undefined {
  const atMs = window && opensAt(window, nowMs);
  if (atMs === undefined) return undefined;
  return { Kind: "window", Reason: `the window for ${what} (${window!.Cron}) is closed`, ...until(atMs) };
}

function refused(next: Task, { consent }: DeviceFacts): SwapReport | undefined {
  if (!next.Swap?.Consent || consent.includes("all")) return undefined;
  const hash = versionHash(next);
  if (consent.some((word) => word.length >= HASH_PREFIX && hash.startsWith(word))) return undefined;
  return { Kind: "consent", Reason: `somebody at the device has to agree to ${hash.slice(0, HASH_PREFIX)}` };
}

function until(atMs: number): { Until?: string } {
  return Number.isFinite(atMs) ? { Until: new Date(atMs).toISOString() } : {};
}

/** What the device lacks, in words. */
function unfit(next: Task, old: Task, others: readonly Task[], facts: DeviceFacts): string | undefined {
  const { platform, freeDiskBytes = Infinity, availableMemoryBytes = Infinity } = facts;
  if (freeDiskBytes < MIN_FREE_BYTES) {
    return `the disk has ${mebibytes(freeDiskBytes)} left, ${mebibytes(MIN_FREE_BYTES)} are needed`;
  }
  const platforms = next.Spec.Placement?.Platforms ?? [];
  if (!platformMatches(platforms, platform)) {
    return `it is made for ${platforms.map(words).join(", ")}, the device is ${words(platform)}`;
  }
  const memory = (task: Task) => task.Spec.Resources?.Reservations?.MemoryBytes ?? 0;
  // What the old task leaves is the new one's.
  const freed = next.Swap?.StartFirst ? 0 : memory(old);
  if (memory(next) > availableMemoryBytes + freed) {
    return `it needs ${mebibytes(memory(next))} of memory, ${
      mebibytes(availableMemoryBytes + freed)
    } are free`;
  }
  const taken = new Set(others.flatMap(hostPorts)), port = hostPorts(next).find((each) => taken.has(each));
  return port === undefined ? undefined : `another task has port ${port}`;
}

function words({ OS, Architecture }: Platform): string {
  return `${OS}/${Architecture}`;
}

function hostPorts({ Ports = [] }: Task): string[] {
  return Ports.flatMap(({ PublishMode, PublishedPort, Protocol }) =>
    PublishMode === "host" && PublishedPort ? [`${PublishedPort}/${Protocol}`] : []
  );
}

function mebibytes(bytes: number): string {
  return `${Math.floor(bytes / 1024 ** 2)} MiB`;
}
