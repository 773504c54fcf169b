/**
 * Brings images to the node. SwarmKit pulls for every task and falls back to the local image; on a device
 * that may be offline that is a wait per task, so one attempt serves all tasks that want the image at that
 * time and, if the image is there, those of the next `PULL_MEMORY_MS`.
 */
import { getLogger } from "../../api/log.ts";
import { Backoff, type BackoffLimits } from "../../api/backoff.ts";
import { type Clock, sleep } from "../../api/clock.ts";
import { CoveyError, hasCode } from "../../api/errors.ts";
import { orAbort } from "../../api/or_abort.ts";
import type { EngineClient } from "./engine_client.ts";
import type { ImageInspect, PullProgress } from "./engine_types.ts";
import { isPinned, withDefaultTag } from "./image_ref.ts";
import { PullMeter } from "./pull_meter.ts";

/** How long an attempt, good or bad, counts for tasks whose image is local. */
export const PULL_MEMORY_MS = 60_000;
/** How long a registry may take for its first answer while a local image could be used instead. */
export const FIRST_ANSWER_MS = 5_000;
/** How long a pull may stand still before it counts as failed. */
const PULL_STALL_MS = 120_000;
/** Attempts remembered; a device runs few images, so more means many updates and the oldest are of no use. */
const MAX_ATTEMPTS = 256;

const log = getLogger(["covey", "docker"]);

/** Pauses before a pull that brought something goes on. */
const RESUME_PAUSE: BackoffLimits = { minMs: 1000, maxMs: 60_000 };

interface Attempt {
  /** Resolves with why it failed. */
  done: Promise<string | undefined>;
  meter: PullMeter;
  /** When it ended; undefined while it goes on. */
  endedAt?: number;
}

/** Shares the pulls of one engine. */
export class ImagePuller {
  readonly #engine: EngineClient;
  readonly #clock: Clock;
  readonly #attempts = new Map<string, Attempt>();
  readonly #onPulled: (imageID: string) => void;
  readonly #closed = new AbortController();

  /** `onPulled` is called with the ID of each image that a pull brought. */
  constructor(engine: EngineClient, clock: Clock, onPulled: (imageID: string) => void = () => {}) {
    this.#engine = engine;
    this.#clock = clock;
    this.#onPulled = onPulled;
  }

  /**
   * Resolves when everything was tried to have the newest `image`, with the reason if the last try failed. `auth` are
   * credentials for its registry. Whether it is there shows when a container
   * is created, with the engine's own words if it is not. Only aborting the signal rejects; the attempt goes
   * on for other tasks.
   */
  async ensure(image: string, signal: AbortSignal, auth?: string): Promise<string | undefined> {
    signal.throwIfAborted();
    const name = withDefaultTag(image), key = keyOf(name, auth);
    const recent = this.#attempts.get(key);
    if (recent?.endedAt === undefined && recent) return await orAbort(recent.done, signal);
    const fresh = recent !== undefined && this.#clock.monotonic() - recent.endedAt! < PULL_MEMORY_MS;
    // Pulled or looked for a moment ago and there: that is enough. Should it vanish, creating the container fails and the task's
    // next attempt pulls it again.
    if (fresh && await this.isLocal(name, signal)) return;
    const meanwhile = this.#attempts.get(key);
    if (meanwhile && meanwhile !== recent) return await this.ensure(image, signal, auth);
    const meter = new PullMeter();
    const attempt: Attempt = { done: this.#attempt(name, auth, meter), meter };
    this.#attempts.set(key, attempt);
    void attempt.done.then(() => {
      attempt.endedAt = this.#clock.monotonic();
      this.#prune();
    });
    return await orAbort(attempt.done, signal);
  }

  /** True if the engine has the image already. */
  async isLocal(image: string, signal: AbortSignal): Promise<boolean> {
    return await this.#idOf(image, signal) !== undefined;
  }

  async #idOf(image: string, signal: AbortSignal): Promise<string | undefined> {
    try {
      return (await this.#engine.call<ImageInspect>("GET", `/images/${image}/json`, { signal })).Id;
    } catch (error) {
      if (hasCode(error, "not_found", "invalid_argument")) return undefined;
      throw error;
    }
  }

  /** Aborts what is going on. */
  close(): void {
    this.#closed.abort();
  }

  /** How far the pull of `image` is, in words; undefined where none goes on. */
  progress(image: string, auth?: string): string | undefined {
    const attempt = this.#attempts.get(keyOf(withDefaultTag(image), auth));
    return attempt?.endedAt === undefined ? attempt?.meter.words() : undefined;
  }

  /**
   * Never rejects. The engine keeps the layers that it has whole: a pull that broke and had brought something goes on, as
   * often as it brings more.
   */
  async #attempt(name: string, auth: string | undefined, meter: PullMeter): Promise<string | undefined> {
    const backoff = new Backoff(RESUME_PAUSE), { signal } = this.#closed;
    while (true) {
      let local: string | undefined;
      try {
        local = await this.#idOf(name, signal);
        if (local && isPinned(name)) return;
        await this.#pull(name, local ? FIRST_ANSWER_MS : PULL_STALL_MS, auth, meter);
        const pulled = await this.#idOf(name, signal);
        if (pulled !== undefined && pulled !== local) this.#onPulled(pulled);
        return;
      } catch (error) {
        const { message } = CoveyError.from(error), resumes = !local && meter.takeGain();
        const next = resumes ? "it goes on" : "the local image is used, if there is one";
        log.info("pull of {image} broke, so {next}: {error}", { image: name, next, error: message });
        if (!resumes) return message;
        await sleep(this.#clock, backoff.next(), signal).catch(() => {});
        if (signal.aborted) return message;
      }
    }
  }

  async #pull(
    name: string,
    firstAnswerMs: number,
    auth: string | undefined,
    meter: PullMeter,
  ): Promise<void> {
    const stalled = new AbortController();
    const stall = (ms: number) =>
      this.#clock.setTimer(ms, () => {
        stalled.abort(
          new CoveyError("deadline_exceeded", `Cannot pull ${name}: no progress for ${ms / 1000} s`),
        );
      });
    let cancel = stall(firstAnswerMs);
    try {
      const progress = this.#engine.stream<PullProgress>("POST", "/images/create", {
        query: { fromImage: name },
        ...(auth !== undefined && { headers: { "X-Registry-Auth": auth } }),
        signal: AbortSignal.any([stalled.signal, this.#closed.signal]),
      });
      for await (const line of progress) {
        if (line.error !== undefined) throw new CoveyError("unknown", `Cannot pull ${name}: ${line.error}`);
        meter.take(line);
        cancel();
        cancel = stall(PULL_STALL_MS);
      }
    } finally {
      cancel();
    }
  }

  #prune(): void {
    for (const [name, attempt] of this.#attempts) {
      if (this.#attempts.size <= MAX_ATTEMPTS) return;
      if (attempt.endedAt !== undefined) this.#attempts.delete(name);
    }
  }
}

function keyOf(name: string, auth = ""): string {
  return `${name} ${auth}`;
}
