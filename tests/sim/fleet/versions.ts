/** Versions of the program that is rolled out, and what becomes of each on a device. */
import type { Task } from "../../../api/task.ts";
import { crc32 } from "node:zlib";

/** `good` runs but on a few devices; the others run nowhere: what they do to a device is their name. */
export const BAD = ["refuses", "dies", "kills", "hangs"] as const;
export type Kind = "good" | typeof BAD[number];

/** Of the devices, how many each good version fails on for a reason of its own. */
const BROKEN_SHARE = 0.02;

/** `v3-dies`; what the tasks of that version have as their argument. */
export function versionName(nth: number, kind: Kind): string {
  return `v${nth}-${kind}`;
}

export function versionOf({ Spec }: Pick<Task, "Spec">): string {
  return Spec.ProcessSpec?.Args?.[0] ?? "";
}

export function kindOf(version: string): Kind {
  return version.slice(version.indexOf("-") + 1) as Kind;
}

/** Whether a good version fails on a device, whenever it is tried. */
export function isBroken(version: string, device: string): boolean {
  return crc32(`${version}@${device}`) / 2 ** 32 < BROKEN_SHARE;
}
