import type { Message } from "../../../manager/raft/mod.ts";
import type { EventQueue } from "./event_queue.ts";
import type { SeededRandom } from "./random.ts";

/** How bad the network is, apart from cut links. */
export interface Weather {
  /** Shares of messages that are lost, or come twice. */
  loss: number;
  duplication: number;
  /** Share of messages that take up to `slowMs` instead of a few milliseconds. */
  slow: number;
  slowMs: number;
  /** Requests for votes take up to so long, whatever the rest does. */
  voteMs: number;
}

/** No loss, little delay. */
export const FAIR: Weather = { loss: 0, duplication: 0, slow: 0, slowMs: 0, voteMs: 0 };

/** Carries messages between members: late, twice, in another order, or not at all. */
export class Network {
  weather: Weather = FAIR;
  /** No link can be cut any more. */
  calm = false;
  /** Cut links as `from>to`; each direction on its own. */
  #cut = new Set<string>();

  constructor(
    private readonly queue: EventQueue,
    private readonly random: SeededRandom,
    private readonly deliver: (message: Message) => void,
    /** What became of a snapshot. */
    private readonly report: (message: Message, arrived: boolean) => void,
  ) {}

  cut(from: number, to: number): void {
    if (!this.calm) this.#cut.add(`${from}>${to}`);
  }

  mend(from: number, to: number): void {
    this.#cut.delete(`${from}>${to}`);
  }

  mendAll(): void {
    this.#cut.clear();
  }

  isCut(from: number, to: number): boolean {
    return this.#cut.has(`${from}>${to}`);
  }

  send(message: Message): void {
    const { random, weather } = this;
    const lost = this.isCut(message.from, message.to) || random.chance(weather.loss);
    if (message.type === "snapshot") return this.#sendSnapshot(message, lost);
    if (lost) return;
    this.#carry(message);
    if (random.chance(weather.duplication)) this.#carry(message);
  }

  #delay(type: Message["type"]): number {
    const { random, weather } = this;
    if (type === "vote" && weather.voteMs > 0) return random.next() * weather.voteMs;
    return random.chance(weather.slow) ? random.next() * weather.slowMs : 0.2 + random.next() * 4;
  }

  #carry(message: Message): void {
    this.queue.after(this.#delay(message.type), () => {
      if (!this.isCut(message.from, message.to)) this.deliver(message);
    });
  }

  #sendSnapshot(message: Message, lost: boolean): void {
    this.queue.after(this.#delay(message.type) * 10, () => {
      const arrived = !lost && !this.isCut(message.from, message.to);
      if (arrived) this.deliver(message);
      this.report(message, arrived);
    });
  }
}
