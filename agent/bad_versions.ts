/** Versions that failed on this device, by their hash: not tried again without somebody's word. */
import { createHash } from "node:crypto";
import type { Task } from "../api/task.ts";

/** Versions remembered: years of updates that all failed. The oldest is forgotten first. */
export const MAX_BAD_VERSIONS = 100;

/** What is remembered of a version. */
export interface BadVersion {
  ServiceID: string;
  /** RFC 3339. */
  At: string;
  /** In words. */
  Reason: string;
}

/**
 * The same for every task that would run the same on this device. Whether somebody has asked for it anew (`ForceUpdate`),
 * where it is placed, when it is run again and with which password its image is pulled makes it no other version.
 */
export function versionHash({ ServiceID, Spec, Ports }: Pick<Task, "ServiceID" | "Spec" | "Ports">): string {
  const { ForceUpdate: _, Placement: _placement, RestartPolicy: _policy, LogDriver: _log, ...program } = Spec;
  const { PullOptions: _auth, ...ContainerSpec } = program.ContainerSpec ?? { Image: "" };
  const what = [ServiceID, { ...program, ContainerSpec }, Ports];
  return createHash("sha256").update(JSON.stringify(what, inOrder)).digest("hex");
}

/** Keys in one order, whoever wrote the object. */
function inOrder(_: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1));
}
