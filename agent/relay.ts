/** The relay of this node, while it has networks with nodes that are not reached otherwise; its code is not loaded before. */
import { systemClock } from "../api/clock.ts";
import type { Ask } from "../api/dispatcher.ts";
import { CoveyError } from "../api/errors.ts";
import { getLogger } from "../api/log.ts";
import { systemRandom } from "../api/random.ts";
import type { NetworkHelper } from "../network/helper_client.ts";
import type { NetworkKeeper } from "../network/keeper.ts";
import type { NodeRelay } from "../network/relay.ts";
import type { OpenRelay } from "../network/relay_pipe.ts";
import type { TasksHere } from "../network/askers.ts";
import type { OpenStream } from "./streams/stream_answers.ts";

const logger = getLogger(["covey", "network"]);

/** What an agent tells of its sessions. */
export interface RelayAsked {
  connect(openRelay: OpenRelay, openAsked: OpenStream): void;
  disconnect(): void;
  /** All that managers ask for now. */
  apply(asks: readonly Ask[]): void;
  /** Connections that are open. */
  readonly size: number;
}

/** Opened and closed as it is needed. */
export class RelayService implements RelayAsked {
  readonly #tasks: TasksHere;
  readonly #helper: NetworkHelper;
  readonly #keeper: () => NetworkKeeper;
  #relay: NodeRelay | undefined;
  #session: { openRelay: OpenRelay; openAsked: OpenStream } | undefined;
  #asks: readonly Ask[] = [];
  #work: Promise<void> = Promise.resolve();

  constructor(tasks: TasksHere, helper: NetworkHelper, keeper: () => NetworkKeeper) {
    this.#tasks = tasks;
    this.#helper = helper;
    this.#keeper = keeper;
  }

  connect(openRelay: OpenRelay, openAsked: OpenStream): void {
    this.#session = { openRelay, openAsked };
    this.#relay?.connect(openRelay, openAsked);
  }

  disconnect(): void {
    this.#session = undefined;
    this.#asks = [];
    this.#relay?.disconnect();
  }

  apply(asks: readonly Ask[]): void {
    this.#asks = asks;
    this.#relay?.apply(asks);
  }

  get size(): number {
    return this.#relay?.size ?? 0;
  }

  /** Whether there are nodes that are not reached otherwise. */
  use(isUsed: boolean): void {
    this.#work = this.#work.then(() => isUsed ? this.#open() : this.close()).catch((thrown) => {
      logger.warn("Cannot relay connections: {message}", { message: CoveyError.from(thrown).message });
    });
  }

  async close(): Promise<void> {
    const relay = this.#relay;
    this.#relay = undefined;
    await relay?.close();
  }

  async #open(): Promise<void> {
    const { NodeRelay } = await import("../network/relay.ts");
    const { told, askers } = this.#keeper();
    const shared = { told, askers, tasks: this.#tasks, helper: this.#helper };
    const relay = new NodeRelay({ ...shared, clock: systemClock, random: systemRandom });
    relay.listen();
    this.#relay = relay;
    if (this.#session === undefined) return;
    relay.connect(this.#session.openRelay, this.#session.openAsked);
    relay.apply(this.#asks);
  }
}
