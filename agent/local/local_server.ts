/**
 * The agent's own sockets on the device: one for its owner and, where the device's list names a group, for that; one for tasks
 * that have a pass, where the list names any. Nothing of what is answered is loaded before somebody asks.
 */
import { type Clock, sleep } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import { getLogger } from "../../api/log.ts";
import type { Worker } from "../worker.ts";
import type { Locks } from "./locks.ts";
import type { Passes } from "./pass.ts";

/** Connections of one socket at once: each may hold a request of some KiB. */
const MAX_CONNECTIONS = 32;
/** Pause after a connection could not be taken. */
const ACCEPT_PAUSE_MS = 1_000;

const logger = getLogger(["covey", "local"]);

/** What it works with. */
export interface LocalServerOptions {
  /** The agent's state folder. */
  folder: string;
  clock: Clock;
  worker: LocalTasks;
  locks: Locks;
  /** Without it no task gets in. */
  passes: Passes | undefined;
  /** Number of the group that may do what the owner may. */
  group: number | undefined;
}

/** The tasks of the device, as they are seen here. */
export type LocalTasks = Pick<Worker, "access" | "watch" | "list" | "restart" | "successorOf">;

/** Serves until it is closed. */
export class LocalServer {
  readonly #options: LocalServerOptions;
  readonly #listeners: Deno.UnixListener[] = [];
  readonly #accepting: Promise<void>[] = [];
  readonly #open = new Set<Deno.Conn>();
  readonly #abort = new AbortController();

  constructor(options: LocalServerOptions) {
    this.#options = options;
  }

  /** What cannot be served is logged: the agent goes on without it. */
  async start(): Promise<void> {
    const { folder, passes, group } = this.#options;
    try {
      await makeFolder(`${folder}/local`, 0o711);
      await this.#listen(`${folder}/local/agent.sock`, "person", group === undefined ? 0o600 : 0o660, group);
      if (!passes) return;
      await makeFolder(passes.folder, 0o755);
      // Who may connect has yet to show a pass.
      await this.#listen(passes.socket, "task", 0o666);
    } catch (thrown) {
      logger.warn("Cannot serve this device's own socket: {message}", {
        message: CoveyError.from(thrown).message,
      });
    }
  }

  /** Connections that are open. */
  get size(): number {
    return this.#open.size;
  }

  async close(): Promise<void> {
    this.#abort.abort(new CoveyError("canceled", "Cannot go on: the agent stops"));
    for (const listener of this.#listeners) listener.close();
    for (const connection of this.#open) close(connection);
    await Promise.all(this.#accepting);
  }

  async #listen(path: string, kind: "person" | "task", mode: number, group?: number): Promise<void> {
    await Deno.remove(path).catch(() => {});
    const listener = Deno.listen({ transport: "unix", path });
    this.#listeners.push(listener);
    if (group !== undefined) await Deno.chown(path, null, group);
    await Deno.chmod(path, mode);
    this.#accepting.push(this.#accept(listener, kind));
  }

  async #accept(listener: Deno.UnixListener, kind: "person" | "task"): Promise<void> {
    const { signal } = this.#abort;
    let count = 0;
    while (!signal.aborted) {
      try {
        const connection = await listener.accept();
        if (count >= MAX_CONNECTIONS) {
          close(connection);
          continue;
        }
        count++;
        this.#open.add(connection);
        void this.#serve(connection, kind).finally(() => {
          count--;
          this.#open.delete(connection);
          close(connection);
        });
      } catch {
        await sleep(this.#options.clock, ACCEPT_PAUSE_MS, signal).catch(() => {});
      }
    }
  }

  async #serve(connection: Deno.Conn, kind: "person" | "task"): Promise<void> {
    try {
      const { serveLocal } = await import("./local_requests.ts");
      await serveLocal(connection, kind, this.#options, this.#abort.signal);
    } catch (thrown) {
      logger.debug("A local connection ended: {message}", { message: CoveyError.from(thrown).message });
    }
  }
}

async function makeFolder(path: string, mode: number): Promise<void> {
  await Deno.mkdir(path, { recursive: true, mode });
  await Deno.chmod(path, mode);
}

function close(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch {
    // Closed already.
  }
}
