/** Looks at the device for what a swap of tasks is judged by. */
import type { Clock } from "../api/clock.ts";
import type { DeviceFacts } from "./gate.ts";

/** Whoever writes it keeps new versions away; its text is when the lock ends, RFC 3339. */
export const LOCK_FILE = "update-lock";
/** Versions that somebody at the device agrees to, by the beginnings of their hashes, or `all`. */
const CONSENT_FILE = "update-consent";
/** Bytes of these files that are read: what somebody writes by hand. */
const MAX_FILE_BYTES = 16 * 1024;

/** What the device with the agent's `folder` says now; `taskLocks` as {@linkcode DeviceFacts.taskLocks}. */
export async function readDeviceFacts(
  folder: string,
  clock: Clock,
  taskLocks: ReadonlyMap<string, number>,
): Promise<DeviceFacts> {
  // Loaded when a swap is judged for the first time, as the calendar takes memory and is a package.
  const { opensAt } = await import("../api/window.ts");
  const consent = await readSmall(`${folder}/${CONSENT_FILE}`);
  return {
    nowMs: clock.now(),
    opensAt,
    platform: { OS: Deno.build.os, Architecture: Deno.build.arch },
    freeDiskBytes: await freeBytes(folder),
    availableMemoryBytes: Deno.systemMemoryInfo().available,
    taskLocks,
    lock: await readLock(folder),
    consent: consent?.text.split(/\s+/).filter((word) => word !== "") ?? [],
  };
}

/** The device's lock as somebody has written it, and when. */
export function readLock(folder: string): Promise<DeviceFacts["lock"]> {
  return readSmall(`${folder}/${LOCK_FILE}`);
}

async function freeBytes(folder: string): Promise<number | undefined> {
  // Loaded when a swap is judged for the first time: it takes 2.5 MB.
  const { statfs } = await import("node:fs/promises");
  return await statfs(folder).then(({ bavail, bsize }) => bavail * bsize, () => undefined);
}

async function readSmall(path: string): Promise<{ text: string; writtenMs: number } | undefined> {
  try {
    using file = await Deno.open(path);
    const bytes = new Uint8Array(MAX_FILE_BYTES), count = await file.read(bytes);
    const text = new TextDecoder().decode(bytes.subarray(0, count ?? 0));
    return { text, writtenMs: (await file.stat()).mtime?.getTime() ?? Date.now() };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
