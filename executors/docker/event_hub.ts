/** One `/events` stream for all containers of an executor, instead of a hanging `/wait` for each. */
import { getLogger } from "../../api/log.ts";
import { Backoff, type BackoffLimits } from "../../api/backoff.ts";
import { type Clock, sleep } from "../../api/clock.ts";
import { LABEL_TASK } from "./container_config.ts";
import type { EngineClient } from "./engine_client.ts";
import type { EngineEvent } from "./engine_types.ts";

/** Pauses before a broken stream is opened again, growing while the engine is away. */
const REOPEN_PAUSE: BackoffLimits = { minMs: 250, maxMs: 15_000 };
/** How far back a new stream reaches, as the engine starts to collect only after it has answered. */
const LOOK_BACK_S = 2;

/** Something may have changed: inspect. `exitCode` comes with the end, for a container that is gone by then. */
type Listener = (exitCode?: number) => void;

const log = getLogger(["covey", "docker"]);

/** Tells of containers that were started, ended, or changed health. */
export class EventHub {
  readonly #engine: EngineClient;
  readonly #clock: Clock;
  readonly #listeners = new Map<string, Listener>();
  readonly #closed = new AbortController();
  #running: Promise<void> | undefined;

  constructor(engine: EngineClient, clock: Clock) {
    this.#engine = engine;
    this.#clock = clock;
  }

  /** Calls `listener` at news of the container, and whenever news may have been missed. */
  listen(containerID: string, listener: Listener): void {
    this.#listeners.set(containerID, listener);
    this.#running ??= this.#run();
  }

  forget(containerID: string): void {
    this.#listeners.delete(containerID);
  }

  async close(): Promise<void> {
    this.#closed.abort();
    this.#listeners.clear();
    await this.#running;
  }

  async #run(): Promise<void> {
    const backoff = new Backoff(REOPEN_PAUSE);
    while (!this.#closed.signal.aborted) {
      try {
        await this.#follow(() => backoff.reset());
      } catch (error) {
        if (!this.#closed.signal.aborted) log.debug("event stream broke: {error}", { error });
      }
      await sleep(this.#clock, backoff.next(), this.#closed.signal).catch(() => {});
    }
  }

  async #follow(onOpen: () => void): Promise<void> {
    const filters = { type: ["container"], event: ["start", "die", "health_status"], label: [LABEL_TASK] };
    const since = Math.floor(this.#clock.now() / 1000) - LOOK_BACK_S;
    const events = this.#engine.stream<EngineEvent>("GET", "/events", {
      query: { filters: JSON.stringify(filters), since: String(since) },
      signal: this.#closed.signal,
      onOpen: () => {
        onOpen();
        for (const listener of [...this.#listeners.values()]) listener();
      },
    });
    for await (const { Action, Actor } of events) {
      const exitCode = Action === "die" ? Number(Actor.Attributes.exitCode) : undefined;
      this.#listeners.get(Actor.ID)?.(exitCode);
    }
  }
}
