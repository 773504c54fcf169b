/** The agent's state folder: one agent at a time, its tasks' state, and the managers as `launch.sh` reads them. */
import { type Clock, sleep, systemClock } from "../api/clock.ts";
import { CoveyError, hasCode } from "../api/errors.ts";
import { getLogger } from "../api/log.ts";
import type { NodeRole } from "../api/node.ts";
import { makePassableFolder } from "../api/private_folder.ts";
import { SayOnce } from "../api/say_once.ts";
import { checkDatabase } from "../security/check_database.ts";
import { systemFileSystem, writeFileAtomically } from "../security/file_system.ts";
import { LocalState } from "./local_state.ts";

const logger = getLogger(["covey", "agent"]);

const LOCK_FILE = "agent.lock";
const STATE_FILE = "tasks.kv";
/** What SQLite keeps beside a database. */
const DATABASE_SUFFIXES = ["", "-wal", "-shm"];
/** One HOST:PORT a line; plain text, because the launcher derives from it which hosts the sandbox opens. */
const MANAGERS_FILE = "managers";
/** One word: `worker` or `manager`. */
const ROLE_FILE = "role";
/** The version of the installed program that last had a session; the installation's `start.sh` reads it. */
const REACHED_FILE = "reached";
/** JSON: what the node was told of the cluster's networks, for a start without a manager. */
const NETWORKS_FILE = "networks.json";
/** Between two attempts to open what the disk does not let be opened. */
const OPEN_RETRY_MS = 10_000;
const BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id";

/** A state folder that this process owns. */
export class StateFolder {
  readonly path: string;
  readonly #lock: Deno.FsFile;

  private constructor(path: string, lock: Deno.FsFile) {
    this.path = path;
    this.#lock = lock;
  }

  /** Throws `failed_precondition` if another agent runs on the folder. */
  static async open(path: string): Promise<StateFolder> {
    await makePassableFolder(path);
    const lock = Deno.openSync(`${path}/${LOCK_FILE}`, { create: true, write: true, mode: 0o600 });
    if (lock.tryLockSync(true)) return new StateFolder(path, lock);
    lock.close();
    throw new CoveyError("failed_precondition", `Cannot start the agent: another one runs on ${path}`);
  }

  /**
   * The tasks' state. A damaged one is put aside: the manager knows what shall run, and executors find what does. A disk that
   * does not let it be opened says nothing of it: it is tried again until `signal` aborts.
   */
  async openState(clock: Clock = systemClock, signal?: AbortSignal): Promise<LocalState> {
    const said = new SayOnce();
    while (true) {
      try {
        return await this.#openStateOnce();
      } catch (thrown) {
        const { message } = CoveyError.from(thrown);
        if (said.isNew(message)) {
          logger.warn(
            "Cannot take up the tasks yet, trying again: {message}; see that {path} has room and can be written",
            { message, path: this.path },
          );
        }
        await sleep(clock, OPEN_RETRY_MS, signal);
      }
    }
  }

  async #openStateOnce(): Promise<LocalState> {
    const path = `${this.path}/${STATE_FILE}`;
    try {
      await checkDatabase(path);
    } catch (thrown) {
      if (!hasCode(thrown, "data_loss")) throw thrown;
      const aside = await this.#putAside();
      const { message } = CoveyError.from(thrown);
      logger.warn("Starting without local state: {message}; the damaged one is kept as {aside}", {
        aside,
        message,
      });
    }
    try {
      return await openPrivate(path);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new CoveyError("unavailable", `Cannot open ${path}: ${why}`, { cause });
    }
  }

  /** Renames the database to a name that nothing has; itself last, as what is beside it must not meet a new one. */
  async #putAside(): Promise<string> {
    const taken = new Set<string>();
    for await (const { name } of Deno.readDir(this.path)) taken.add(name);
    let number = 1;
    const names = () => DATABASE_SUFFIXES.map((suffix) => `${STATE_FILE}.damaged-${number}${suffix}`);
    while (names().some((name) => taken.has(name))) number++;
    for (const suffix of DATABASE_SUFFIXES.toReversed()) {
      if (!taken.has(STATE_FILE + suffix)) continue;
      const from = `${this.path}/${STATE_FILE}${suffix}`;
      await Deno.rename(from, `${this.path}/${STATE_FILE}.damaged-${number}${suffix}`);
    }
    return `${this.path}/${STATE_FILE}.damaged-${number}`;
  }

  /** Managers that the cluster told of, HOST:PORT each. */
  async managers(): Promise<string[]> {
    const data = await systemFileSystem.readFile(`${this.path}/${MANAGERS_FILE}`);
    return data ? new TextDecoder().decode(data).split("\n").filter((line) => line !== "") : [];
  }

  /** Keeps the list of managers; writes nothing if it is there already. */
  async saveManagers(addresses: readonly string[]): Promise<void> {
    if ((await this.managers()).join() === addresses.join()) return;
    const data = new TextEncoder().encode(addresses.map((address) => `${address}\n`).join(""));
    await writeFileAtomically(systemFileSystem, this.path, MANAGERS_FILE, data, 0o600);
  }

  /** What was told of networks, as it was kept. */
  async networks(): Promise<string | undefined> {
    return await Deno.readTextFile(`${this.path}/${NETWORKS_FILE}`).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      return undefined;
    });
  }

  /** Keeps what was told of networks; undefined removes it. */
  async saveNetworks(text: string | undefined): Promise<void> {
    if (text !== undefined) {
      const data = new TextEncoder().encode(text);
      return await writeFileAtomically(systemFileSystem, this.path, NETWORKS_FILE, data, 0o600);
    }
    await Deno.remove(`${this.path}/${NETWORKS_FILE}`).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }

  /** Notes the role that the cluster gives this node, for the manager's process beside this agent. */
  async saveRole(role: NodeRole): Promise<void> {
    const data = new TextEncoder().encode(role);
    await writeFileAtomically(systemFileSystem, this.path, ROLE_FILE, data, 0o600);
  }

  /** Notes that this version of the program has reached a manager; writes nothing if that is known. */
  async saveReached(version: string): Promise<void> {
    const text = `${version}\n`, before = await systemFileSystem.readFile(`${this.path}/${REACHED_FILE}`);
    if (before && new TextDecoder().decode(before) === text) return;
    const data = new TextEncoder().encode(text);
    await writeFileAtomically(systemFileSystem, this.path, REACHED_FILE, data, 0o600);
  }

  /** Lets another agent have the folder. */
  close(): void {
    this.#lock.close();
  }
}

/** The tasks' variables are in there, and a database is made for everybody to read. */
async function openPrivate(path: string): Promise<LocalState> {
  const state = await LocalState.open(path);
  for (const suffix of DATABASE_SUFFIXES) {
    await Deno.chmod(path + suffix, 0o600).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }
  return state;
}

/** Identifies the machine's present boot; empty if the system does not say. */
export function readBootID(): string {
  try {
    return Deno.readTextFileSync(BOOT_ID_FILE).trim();
  } catch {
    return "";
  }
}
