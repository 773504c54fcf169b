/** Whether the end of the agent would disturb anybody just now: what is left as it is for a renewal (decision 0192). */
import type { Clock } from "../api/clock.ts";
import type { Agent } from "./agent.ts";
import { readLock } from "./device_facts.ts";
import { locked } from "./gate.ts";
import type { LocalServer } from "./local/local_server.ts";
import type { Locks } from "./local/locks.ts";
import type { StateFolder } from "./state_folder.ts";

/** What is looked at. */
export interface QuietOptions {
  folder: Pick<StateFolder, "path" | "isOnTrial">;
  clock: Clock;
  /** The installed version, if it is one. */
  programVersion: string | undefined;
  locks: Pick<Locks, "ofTasks">;
  server: Pick<LocalServer, "size">;
  agent: Pick<Agent, "isQuiet">;
}

/**
 * True while no task is made ready, started, stopped or swapped, nobody has a stream or a log open, neither the device nor a
 * task has an update lock, and this version of the program is not on trial. Rejects where the folder cannot be read.
 */
export async function isQuiet(options: QuietOptions): Promise<boolean> {
  const { folder, clock, programVersion, locks, server, agent } = options;
  const lock = await readLock(folder.path);
  if (locked({ lock, nowMs: clock.now() }) || locks.ofTasks.size > 0) return false;
  if (await folder.isOnTrial(programVersion)) return false;
  // Last, as it may change at any time.
  return server.size === 0 && agent.isQuiet;
}
