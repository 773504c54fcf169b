/** The agent's state folder: one agent at a time, its tasks' state, and the managers as `launch.sh` reads them. */
import { type Clock, sleep, systemClock } from "../api/clock.ts";
import { CoveyError, hasCode } from "../api/errors.ts";
import { getLogger } from "../api/log.ts";
import { makePassableFolder } from "../api/private_folder.ts";
import { SayOnce } from "../api/say_once.ts";
import { checkDatabase, rewriteDatabase } from "../security/check_database.ts";
import { systemFileSystem, writeFileAtomically } from "../security/file_system.ts";
import type { IdentityStore } from "../security/identity_store.ts";
import { LocalState } from "./local_state.ts";

const logger = getLogger(["covey", "agent"]);

const LOCK_FILE = "agent.lock";
const STATE_FILE = "tasks.kv";
/** What SQLite keeps beside a database. */
const DATABASE_SUFFIXES = ["", "-wal", "-shm"];
/** One HOST:PORT a line; plain text, because the launcher derives from it which hosts the sandbox opens. */
const MANAGERS_FILE = "managers";
/** One word: `worker` or `manager`. */
/** The version of the installed program that last had a session; the installation's `start.sh` reads it. */
const REACHED_FILE = "reached";
/** JSON: what the node was told of the cluster's networks, for a start without a manager. */
const NETWORKS_FILE = "networks.json";
/** Between two attempts to open what the disk does not let be opened. */
const OPEN_RETRY_MS = 10_000;
const BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id";

/** How the tasks' state is opened. */
export interface OpenOptions {
  clock?: Clock;
  signal?: AbortSignal;
  /** Has the keys that the tasks are sealed for. */
  identity?: IdentityStore;
  /** Tasks in clear stay so: the version before, which cannot read others, may have to take over again. */
  mayNotSeal?: boolean;
  /** The node leaves its cluster: what cannot be read is not waited for. */
  leave?: boolean;
}

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
   * The tasks' state. A damaged one, or one that was sealed for another key than the node has, is put aside: the manager knows what
   * shall run, and executors find what does. What the disk does not let be read says nothing of it: it is tried again until
   * `signal` aborts, and so is a state whose key is damaged, unless the node leaves its cluster.
   */
  async openState(options: OpenOptions = {}): Promise<LocalState> {
    const said = new SayOnce();
    while (true) {
      try {
        return await this.#openStateOnce(options);
      } catch (thrown) {
        const { message } = CoveyError.from(thrown);
        if (said.isNew(message)) {
          logger.warn(
            "Cannot take up the tasks yet, trying again: {message}; see that {path} has room and can be written",
            { message, path: this.path },
          );
        }
        await sleep(options.clock ?? systemClock, OPEN_RETRY_MS, options.signal);
      }
    }
  }

  async #openStateOnce(options: OpenOptions): Promise<LocalState> {
    const path = `${this.path}/${STATE_FILE}`, { identity, leave } = options;
    await checkDatabase(path).catch((thrown) => this.#startWithout(thrown));
    let state;
    try {
      state = await openPrivate(path, identity);
    } catch (thrown) {
      if (!hasCode(thrown, "data_loss")) throw cannotOpen(path, thrown);
      // One that can be mended may open it again.
      if (!leave) await identity?.load().catch((why) => Promise.reject(cannotOpen(path, why)));
      await this.#startWithout(thrown);
      state = await openPrivate(path, identity);
    }
    return options.mayNotSeal ? state : await this.#sealed(state, path, identity);
  }

  /** Seals tasks in clear, and has nothing of them left in the file. */
  async #sealed(state: LocalState, path: string, identity: IdentityStore | undefined): Promise<LocalState> {
    if (!state.isInClear || identity === undefined) return state;
    const keys = await identity.keys().catch(() => []);
    if (keys.length === 0) return state;
    state.seal(keys);
    await state.close();
    const rewritten = await rewriteDatabase(path).then(() => true, () => false);
    const again = await openPrivate(path, identity);
    if (rewritten) again.clearedBytes();
    return again;
  }

  /** Puts the database aside if `thrown` says that it is damaged. */
  async #startWithout(thrown: unknown): Promise<void> {
    if (!hasCode(thrown, "data_loss")) throw thrown;
    const aside = await this.#putAside(), { message } = CoveyError.from(thrown);
    logger.warn("Starting without local state: {message}; the one before is kept as {aside}", {
      aside,
      message,
    });
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

  /** Notes the role that the cluster gives this node, or what it says of roots, for the manager's process beside this agent. */
  async saveNote(what: "role" | "roots", text: string): Promise<void> {
    const data = new TextEncoder().encode(text);
    await writeFileAtomically(systemFileSystem, this.path, what, data, 0o600);
  }

  /** Notes that this version of the program has reached a manager; writes nothing if that is known. */
  async saveReached(version: string): Promise<void> {
    const text = `${version}\n`, before = await systemFileSystem.readFile(`${this.path}/${REACHED_FILE}`);
    if (before && new TextDecoder().decode(before) === text) return;
    const data = new TextEncoder().encode(text);
    await writeFileAtomically(systemFileSystem, this.path, REACHED_FILE, data, 0o600);
  }

  /** True if this version of the program has not reached a manager yet, and another one did before. */
  async isOnTrial(version: string | undefined): Promise<boolean> {
    if (version === undefined) return false;
    const before = await systemFileSystem.readFile(`${this.path}/${REACHED_FILE}`);
    return before !== undefined && new TextDecoder().decode(before).trim() !== version;
  }

  /** Lets another agent have the folder. */
  close(): void {
    this.#lock.close();
  }
}

/** The tasks' variables are in there, and a database is made for everybody to read. */
async function openPrivate(path: string, identity: IdentityStore | undefined): Promise<LocalState> {
  const state = await LocalState.open(path, identity && (() => identity.keys().catch(() => [])));
  for (const suffix of DATABASE_SUFFIXES) {
    await Deno.chmod(path + suffix, 0o600).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }
  return state;
}

function cannotOpen(path: string, cause: unknown): CoveyError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new CoveyError("unavailable", `Cannot open ${path}: ${why}`, { cause });
}

/** Identifies the machine's present boot; empty if the system does not say. */
export function readBootID(): string {
  try {
    return Deno.readTextFileSync(BOOT_ID_FILE).trim();
  } catch {
    return "";
  }
}
