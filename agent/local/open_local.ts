/** The agent's side of what is local to the device: its sockets, passes for tasks, and locks. */
import type { Clock } from "../../api/clock.ts";
import { LocalServer, type LocalTasks } from "./local_server.ts";
import { Locks } from "./locks.ts";
import type { Passes } from "./pass.ts";

/** As the launcher has read it of the device's own list. */
export interface LocalSettings {
  /** Number of the group that may do what the owner may. */
  group: number | undefined;
  /** Services whose tasks may ask for a pass, names or patterns. */
  services: readonly string[];
}

/** What is local, before there is anything to serve. */
export interface Local {
  locks: Locks;
  passes: Passes | undefined;
  server(worker: LocalTasks): LocalServer;
}

/** Reads what is kept of it in the agent's state folder. */
export async function openLocal(
  folder: string,
  clock: Clock,
  { group, services }: LocalSettings,
): Promise<Local> {
  const locks = new Locks(folder, clock);
  await locks.load();
  // Most devices have no such list.
  const passes = services.length > 0
    ? await (await import("./pass.ts")).Passes.open(folder, services)
    : undefined;
  return {
    locks,
    passes,
    server: (worker) => new LocalServer({ folder, clock, worker, locks, passes, group }),
  };
}
