/**
 * Removes images that no task here has a use for any more: of each service the present one and the one before it are kept,
 * to go back to without a network. Only images that a pull for a task brought are ever removed, and none that a container
 * or a second name needs: the engine refuses that.
 */
import { type Clock } from "../../api/clock.ts";
import { DAY_MS } from "../../api/duration.ts";
import { CoveyError, hasCode } from "../../api/errors.ts";
import { getLogger } from "../../api/log.ts";
import type { EngineClient } from "./engine_client.ts";

/** The present image of a service and the one before. */
const KEPT = 2;
/** Images remembered of one service, and of all that were pulled: more than a card holds; the oldest are forgotten. */
const MAX_REMEMBERED = 64;
const MAX_PULLED = 1024;
/** A service without a container here for this long is gone; less may be one whose task is being replaced. */
const GONE_AFTER_MS = DAY_MS;

const log = getLogger(["covey", "docker"]);

interface Memory {
  /** IDs that pulls brought. */
  pulled: string[];
  /** IDs by service, the present one first. */
  services: Record<string, string[]>;
}

/** The images of one engine, as far as tasks of this node brought them. */
export class ImageKeeper {
  readonly #engine: EngineClient;
  readonly #clock: Clock;
  readonly #path: string;
  readonly #unseenSince = new Map<string, number>();
  readonly #loaded: Promise<Memory>;
  #preparing = 0;

  /** Remembers in the file `path`; one that cannot be read or written only means that less is removed. */
  constructor(engine: EngineClient, clock: Clock, path: string) {
    this.#engine = engine;
    this.#clock = clock;
    this.#path = path;
    this.#loaded = load(path);
  }

  /** Does `work`, between whose pull and whose container no image is removed. */
  async preparing<T>(work: () => Promise<T>): Promise<T> {
    this.#preparing++;
    try {
      return await work();
    } finally {
      this.#preparing--;
    }
  }

  /** A pull brought the image with this ID. */
  async pulled(id: string): Promise<void> {
    const memory = await this.#loaded;
    if (memory.pulled.includes(id)) return;
    memory.pulled = [id, ...memory.pulled].slice(0, MAX_PULLED);
    await this.#save(memory);
  }

  /** A container of the service was made from the image with this ID. */
  async used(serviceID: string, id: string): Promise<void> {
    const memory = await this.#loaded, images = new Map(Object.entries(memory.services)).get(serviceID) ?? [];
    if (images[0] === id) return;
    const next = [id, ...images.filter((other) => other !== id)].slice(0, MAX_REMEMBERED);
    memory.services = { ...memory.services, [serviceID]: next };
    await this.#save(memory);
  }

  /** Removes what is not to be kept. `present` are the services with a container here. */
  async clean(present: ReadonlySet<string>, signal: AbortSignal): Promise<string[]> {
    const memory = await this.#loaded, gone = this.#gone(Object.keys(memory.services), present);
    const lists = Object.entries(memory.services).map(([service, ids]) => ({
      kept: gone.has(service) ? [] : ids.slice(0, KEPT),
      ids,
    }));
    const kept = new Set(lists.flatMap((list) => list.kept)), removed = new Set<string>();
    for (const id of new Set(lists.flatMap(({ ids }) => ids))) {
      // Asked anew before each: a task that begins meanwhile may want just this one.
      if (this.#preparing > 0 || signal.aborted) break;
      if (kept.has(id) || !memory.pulled.includes(id)) continue;
      if (await this.#remove(id, signal)) removed.add(id);
    }
    if (removed.size === 0) return [];
    memory.pulled = memory.pulled.filter((id) => !removed.has(id));
    memory.services = Object.fromEntries(
      Object.entries(memory.services).flatMap(([service, ids]) => {
        const left = ids.filter((id) => !removed.has(id));
        return left.length > 0 ? [[service, left]] : [];
      }),
    );
    await this.#save(memory);
    return [...removed];
  }

  #gone(services: readonly string[], present: ReadonlySet<string>): Set<string> {
    const now = this.#clock.monotonic();
    for (const id of this.#unseenSince.keys()) if (present.has(id)) this.#unseenSince.delete(id);
    for (const id of services) {
      if (!present.has(id) && !this.#unseenSince.has(id)) this.#unseenSince.set(id, now);
    }
    return new Set(
      [...this.#unseenSince].filter(([, since]) => now - since >= GONE_AFTER_MS).map(([id]) => id),
    );
  }

  /** True if it is gone. */
  async #remove(id: string, signal: AbortSignal): Promise<boolean> {
    try {
      await this.#engine.call("DELETE", `/images/${id}`, { signal });
      log.info("Removed image {id}: no task here needs it any more", { id });
      return true;
    } catch (thrown) {
      if (hasCode(thrown, "not_found")) return true;
      // A container or a second name needs it; the next look tries again.
      log.debug("Image {id} stays: {message}", { id, message: CoveyError.from(thrown).message });
      return false;
    }
  }

  async #save(memory: Memory): Promise<void> {
    try {
      await Deno.writeTextFile(this.#path, JSON.stringify(memory), { mode: 0o600 });
    } catch (thrown) {
      log.debug("Cannot note which images are in use: {message}", {
        message: CoveyError.from(thrown).message,
      });
    }
  }
}

async function load(path: string): Promise<Memory> {
  const strings = (value: unknown) =>
    Array.isArray(value) ? value.filter((id) => typeof id === "string") : [];
  try {
    const { pulled, services } = JSON.parse(await Deno.readTextFile(path)) as Partial<Memory>;
    const lists = Object.entries(services ?? {}).map(([id, images]) => [id, strings(images)] as const);
    return { pulled: strings(pulled), services: Object.fromEntries(lists) };
  } catch {
    return { pulled: [], services: {} };
  }
}
