/**
 * The files that programs bring with them, kept by what is in them:
 *
 *     artifacts/SHA256/NAME     whole and verified; a task's folder has a hard link to it
 *     artifacts/uses.json       which a service uses now, and which it used before
 *     tasks/fetch-SHA256/part   what has been fetched of one so far
 *
 * A file is looked through whenever a task is made ready, so that one that the card has damaged is fetched
 * anew. What no service uses now, or used before that, goes.
 */
import { createHash } from "node:crypto";
import { type Artifact, artifactName, artifactsFor } from "../../api/artifact.ts";
import { type Clock, sleep } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import { orAbort } from "../../api/or_abort.ts";
import type { Random } from "../../api/random.ts";
import type { Task } from "../../api/task.ts";
import { type ArtifactFetcher, FETCH_PREFIX, final } from "./artifact_fetcher.ts";

/** Milliseconds within which the devices of a fleet begin to fetch: they hear of a new version in the same moment. */
export const FETCH_SPREAD_MS = 5000;
/** What a service that runs here no longer has used is kept for so long, and so is what was fetched in part. */
const KEEP_MS = 7 * 24 * 3_600_000;
const DEFAULT_MODE = 0o555;
const READ_BYTES = 256 * 1024;

/** Sums of files. */
interface Use {
  now: string[];
  before: string[];
  /** Unix milliseconds of the last change. */
  at: number;
}

/** What the store stands on. */
export interface StoreParts {
  stateDir: string;
  clock: Clock;
  random: Random;
  fetcher: ArtifactFetcher;
  spreadMs: number;
}

/** The artifacts of one executor's tasks. */
export class ArtifactStore {
  readonly #parts: StoreParts;
  /** Sums that tasks which are here need, by the tasks' IDs. */
  readonly #held = new Map<string, { service: string; sums: string[] }>();
  /** One file is fetched after the other: a device has one link and one card. What is here waits for none. */
  #fetches: Promise<unknown> = Promise.resolve();
  #uses: Promise<unknown> = Promise.resolve();

  constructor(parts: StoreParts) {
    this.#parts = parts;
  }

  /** Where the artifacts of `task` are, by their names. */
  filesOf(task: Task): Map<string, string> {
    return new Map(this.#chosenFor(task).chosen.map((each) => [artifactName(each), this.#pathOf(each)]));
  }

  /** Keeps what the task has from being cleaned up. */
  hold(task: Task): void {
    const sums = this.#chosenFor(task).chosen.map(({ SHA256 }) => SHA256);
    if (sums.length > 0) this.#held.set(task.ID, { service: task.ServiceID, sums });
  }

  /** The task is gone from the device. */
  release(taskID: string): void {
    this.#held.delete(taskID);
  }

  /** Puts the artifacts of `task` into its folder, fetching those that are not here. Done again, it looks through them again. */
  async place(task: Task, signal: AbortSignal): Promise<void> {
    if (artifactsOf(task).length === 0) return;
    signal.throwIfAborted();
    const { chosen, missing } = this.#chosenFor(task), { os, arch } = Deno.build;
    if (missing.length > 0) {
      const message = `Cannot prepare process: no artifact ${missing.join(", ")} for ${os}/${arch}`;
      throw new CoveyError("failed_precondition", message);
    }
    this.hold(task);
    for (const artifact of chosen) {
      const path = this.#pathOf(artifact), mode = artifact.Mode ?? DEFAULT_MODE;
      if (await sumOf(path, signal) !== artifact.SHA256) await this.#fetchInTurn(artifact, path, signal);
      await Deno.chmod(path, mode);
      const link = `${this.#parts.stateDir}/tasks/${task.ID}/${artifactName(artifact)}`;
      await Deno.remove(link).catch(() => {});
      await Deno.link(path, link);
    }
    this.#uses = this.#uses.catch(() => {}).then(() =>
      this.#use(task.ServiceID, chosen.map(({ SHA256 }) => SHA256))
    );
    await this.#uses;
  }

  async #fetchInTurn(artifact: Artifact, path: string, signal: AbortSignal): Promise<void> {
    const turn = this.#fetches.then(async () => {
      signal.throwIfAborted();
      // Another task may have wanted the same.
      if (await sumOf(path, signal) !== artifact.SHA256) await this.#fetch(artifact, path, signal);
    });
    this.#fetches = turn.catch(() => {});
    await orAbort(turn, signal);
  }

  #chosenFor(task: Task): { chosen: Artifact[]; missing: string[] } {
    const platform = { OS: Deno.build.os, Architecture: Deno.build.arch };
    return artifactsFor(artifactsOf(task), platform);
  }

  #pathOf(artifact: Artifact): string {
    return `${this.#parts.stateDir}/artifacts/${artifact.SHA256}/${artifactName(artifact)}`;
  }

  async #fetch(artifact: Artifact, path: string, signal: AbortSignal): Promise<void> {
    const { clock, random, fetcher, spreadMs } = this.#parts;
    if (spreadMs > 0) await sleep(clock, random.float() * spreadMs, signal);
    const part = await fetcher.fetch(artifact, signal);
    const sum = await sumOf(part, signal);
    if (sum !== artifact.SHA256) {
      await fetcher.forget(artifact);
      throw final(artifact, `what ${artifact.URL} gives has the SHA-256 sum ${sum}, not ${artifact.SHA256}`);
    }
    const folder = path.slice(0, path.lastIndexOf("/"));
    await Deno.mkdir(folder, { recursive: true });
    // Tasks' users get through.
    await Deno.chmod(folder, 0o711);
    // It belongs to whom the shim has run the fetch as.
    const { uid, gid } = await Deno.stat(folder);
    await Deno.chown(part, uid, gid);
    await Deno.rename(part, path);
    await fetcher.forget(artifact);
  }

  /** Notes what a service uses, and removes what nobody does. */
  async #use(service: string, sums: string[]): Promise<void> {
    const file = `${this.#parts.stateDir}/artifacts/uses.json`, now = this.#parts.clock.now();
    const uses = parseUses(await Deno.readTextFile(file).catch(() => "{}"));
    const running = new Set([...this.#held.values()].map((held) => held.service));
    const known = uses.get(service), sorted = [...new Set(sums)].sort();
    const same = known !== undefined && known.now.join() === sorted.join();
    if (!same) uses.set(service, { now: sorted, before: known?.now ?? [], at: now });
    const old = [...uses].filter(([id, { at }]) => !running.has(id) && Math.abs(now - at) > KEEP_MS);
    for (const [id] of old) uses.delete(id);
    if (same && old.length === 0) return;
    await Deno.writeTextFile(`${file}.new`, JSON.stringify(Object.fromEntries(uses)), { mode: 0o600 });
    await Deno.rename(`${file}.new`, file);
    await this.#clean(new Set([...uses.values()].flatMap(({ now, before }) => [...now, ...before])), now);
  }

  async #clean(used: Set<string>, now: number): Promise<void> {
    const { stateDir } = this.#parts, held = new Set([...this.#held.values()].flatMap(({ sums }) => sums));
    for await (const { name, isDirectory } of Deno.readDir(`${stateDir}/artifacts`)) {
      if (isDirectory && !used.has(name) && !held.has(name)) await remove(`${stateDir}/artifacts/${name}`);
    }
    for await (const { name } of Deno.readDir(`${stateDir}/tasks`)) {
      if (!name.startsWith(FETCH_PREFIX)) continue;
      const { mtime } = await Deno.stat(`${stateDir}/tasks/${name}`);
      const isOld = Math.abs(now - (mtime?.getTime() ?? 0)) > KEEP_MS;
      if (isOld) await this.#parts.fetcher.forget({ SHA256: name.slice(FETCH_PREFIX.length) });
    }
  }
}

function artifactsOf({ Spec: { ProcessSpec, DenoSpec } }: Task): readonly Artifact[] {
  return (ProcessSpec ?? DenoSpec)?.Artifacts ?? [];
}

async function remove(path: string): Promise<void> {
  await Deno.remove(path, { recursive: true }).catch(() => {});
}

/** What is written there by earlier agents; a damaged list costs a file that could have stayed. */
function parseUses(text: string): Map<string, Use> {
  const isSums = (list: unknown): list is string[] =>
    Array.isArray(list) && list.every((sum) => typeof sum === "string");
  try {
    const entries = Object.entries(JSON.parse(text) as Record<string, Use>);
    return new Map(
      entries.filter(([, use]) => isSums(use?.now) && isSums(use.before) && Number.isFinite(use.at)),
    );
  } catch {
    return new Map();
  }
}

/** The SHA-256 sum of a file in hexadecimal digits; undefined if there is none. */
async function sumOf(path: string, signal: AbortSignal): Promise<string | undefined> {
  const hash = createHash("sha256"), buffer = new Uint8Array(READ_BYTES);
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  using _closed = file;
  for (;;) {
    signal.throwIfAborted();
    const count = await file.read(buffer);
    if (count === null) return hash.digest("hex");
    hash.update(buffer.subarray(0, count));
  }
}
