/**
 * Update locks of this device: one of the person in front of it, a file that keeps every new version away, and one of each
 * task, which keeps its own successor away. Each ends by itself, so that nobody who has gone blocks anything for ever.
 */
import type { Clock } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import { systemFileSystem, writeFileAtomically } from "../../security/file_system.ts";
import { LOCK_FILE } from "../device_facts.ts";
import { MAX_LOCK_MS } from "../gate.ts";

/** Where the locks of tasks are kept, so that an agent that is started anew knows them. */
const TASK_LOCKS_FILE = "task-locks.json";
/** Locks of tasks: more than a device has tasks. */
const MAX_LOCKS = 500;

/** The locks of one device. */
export class Locks {
  readonly #folder: string;
  readonly #clock: Clock;
  /** Until when (Unix milliseconds), by the task's ID. */
  #tasks = new Map<string, number>();
  #writing: Promise<void> = Promise.resolve();

  constructor(folder: string, clock: Clock) {
    this.#folder = folder;
    this.#clock = clock;
  }

  /** Takes up the tasks' locks. What cannot be read is none. */
  async load(): Promise<void> {
    try {
      const kept: unknown = JSON.parse(await Deno.readTextFile(`${this.#folder}/${TASK_LOCKS_FILE}`));
      const entries = Object.entries(kept as Record<string, unknown>).slice(0, MAX_LOCKS);
      for (const [id, until] of entries) if (typeof until === "number") this.#tasks.set(id, until);
    } catch {
      // None was kept, or the file is damaged: a lock is no more than a wish.
    }
  }

  /** Those of tasks that hold now. */
  get ofTasks(): ReadonlyMap<string, number> {
    const now = this.#clock.now();
    for (const [id, until] of this.#tasks) if (until <= now) this.#tasks.delete(id);
    return this.#tasks;
  }

  /** Locks for a task; returns until when. */
  async lockTask(taskID: string, seconds: number): Promise<Date> {
    const until = this.#until(seconds), held = this.ofTasks;
    if (held.size >= MAX_LOCKS && !held.has(taskID)) {
      throw new CoveyError("resource_exhausted", `Cannot lock: ${held.size} tasks have a lock already`);
    }
    this.#tasks.set(taskID, until);
    await this.#keep();
    return new Date(until);
  }

  async unlockTask(taskID: string): Promise<void> {
    if (this.#tasks.delete(taskID)) await this.#keep();
  }

  /** Locks the device; returns until when. */
  async lockDevice(seconds: number): Promise<Date> {
    const until = new Date(this.#until(seconds)), data = new TextEncoder().encode(`${until.toISOString()}\n`);
    await writeFileAtomically(systemFileSystem, this.#folder, LOCK_FILE, data, 0o600);
    return until;
  }

  async unlockDevice(): Promise<void> {
    await Deno.remove(`${this.#folder}/${LOCK_FILE}`).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }

  #until(seconds: number): number {
    const most = MAX_LOCK_MS / 1000;
    if (Number.isInteger(seconds) && seconds > 0 && seconds <= most) {
      return this.#clock.now() + seconds * 1000;
    }
    throw new CoveyError("invalid_argument", `Cannot lock for ${seconds} seconds: want 1 to ${most}`);
  }

  #keep(): Promise<void> {
    this.#writing = this.#writing.catch(() => {}).then(() => {
      const data = new TextEncoder().encode(JSON.stringify(Object.fromEntries(this.ofTasks)));
      return writeFileAtomically(systemFileSystem, this.#folder, TASK_LOCKS_FILE, data, 0o600);
    });
    return this.#writing;
  }
}
