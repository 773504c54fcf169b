import type { BytePipe, PipeEvents } from "../../../transport/pipe.ts";
import type { Host } from "./host.ts";
import type { NetworkPath } from "./path.ts";

/** Where one end of a connection is, and its way to the other. */
export interface PipeEnd {
  host: Host;
  /** The life of the machine that has it. */
  life: number;
  /** HOST:PORT as the other end sees it. */
  address: string;
  toPeer: NetworkPath;
}

/** One end of a connection between two machines. Like TCP it keeps what is written whole and in order, and may be silent. */
export class SimPipe implements BytePipe {
  readonly remoteAddress: string;
  readonly host: Host;
  readonly #life: number;
  readonly #toPeer: NetworkPath;
  #other!: SimPipe;
  #events: PipeEvents | undefined;
  #paused = false;
  /** What came before anybody listened, or while nobody wanted it. */
  #early: (() => void)[] = [];
  #buffered = 0;
  /** Nothing arrives earlier than what was sent before it. */
  #lastArrival = 0;
  #ending = false;
  #closed = false;
  #error: Error | undefined;

  private constructor({ host, life, toPeer }: PipeEnd, remoteAddress: string) {
    this.host = host;
    this.#life = life;
    this.remoteAddress = remoteAddress;
    this.#toPeer = toPeer;
  }

  /** Both ends of a connection. */
  static pair(a: PipeEnd, b: PipeEnd): [SimPipe, SimPipe] {
    const first = new SimPipe(a, b.address);
    const second = new SimPipe(b, a.address);
    first.#other = second;
    second.#other = first;
    return [first, second];
  }

  get buffered(): number {
    return this.#buffered;
  }

  /** Neither end can do anything any more. */
  get over(): boolean {
    return this.#gone && this.#other.#gone;
  }

  start(events: PipeEvents): void {
    this.#events = events;
    for (const run of this.#early.splice(0)) queueMicrotask(run);
    if (this.#closed) this.#tellClosed(this.#error);
  }

  write(bytes: Uint8Array): void {
    if (this.#closed || this.#ending || this.#gone) return;
    this.#buffered += bytes.length;
    this.#send(() => {
      this.#other.#receive((events) => events.data(bytes));
      this.#buffered -= bytes.length;
      if (!this.#gone) this.host.enter(this.#life, () => this.#closed || this.#events?.drain());
    });
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    for (const run of this.#early.splice(0)) queueMicrotask(run);
  }

  end(): void {
    if (this.#closed || this.#ending || this.#gone) return;
    this.#ending = true;
    this.#send(() => {
      this.#other.#close();
      this.#close();
    });
  }

  destroy(): void {
    if (this.#gone) return;
    this.#send(() => this.#other.#close(new Error("connection reset")));
    this.#close();
  }

  /** The connection is reset at both ends. */
  reset(): void {
    this.#close(new Error("connection reset"));
    this.#other.#close(new Error("connection reset"));
  }

  /** The program at this end is gone and its kernel says so. */
  abandon(): void {
    this.#send(() => this.#other.#close(new Error("connection reset")));
  }

  defer(run: () => void): void {
    queueMicrotask(run);
  }

  get #gone(): boolean {
    return this.#closed || this.#life !== this.host.life;
  }

  #send(arrive: () => void): void {
    this.#lastArrival = this.#toPeer.carry(arrive, this.#lastArrival);
  }

  #receive(tell: (events: PipeEvents) => void): void {
    if (this.#gone) {
      // A restarted machine knows nothing of the connection and says so; one without power says nothing.
      if (this.host.powered && !this.#closed) this.abandon();
      return;
    }
    if (this.#events === undefined || this.#paused) this.#early.push(() => this.#receive(tell));
    else {
      const events = this.#events;
      this.host.enter(this.#life, () => this.#closed || tell(events));
    }
  }

  #close(error?: Error): void {
    if (this.#gone) return;
    this.#closed = true;
    this.#error = error;
    if (this.#events) this.#tellClosed(error);
  }

  #tellClosed(error: Error | undefined): void {
    queueMicrotask(() => this.host.enter(this.#life, () => this.#events!.closed(error)));
  }
}
