/** Connections to one leader: a single one, unless more calls are open than one connection carries. */
import type { Clock } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import type { Connection, Dialer } from "../../transport/mod.ts";
import { type Patience, within } from "./waiting.ts";

/** Calls and streams open on one connection: three quarters of what the transport allows. */
export const MAX_CALLS_PER_CONNECTION = 1536;
/** Connections to the leader: with two streams for each agent enough for 10,000 agents, a listener's maximum. */
export const MAX_LEADER_CONNECTIONS = 16;
/** How long calls that are under way may take when the leader has changed: a commit takes far less. */
export const LINGER_MS = 1_000;

/** Who leads, and where. */
export interface LeaderAddress {
  nodeID: string;
  /** HOST:PORT */
  address: string;
}

/** A place on a connection. Give each up by its `release`, once. */
export interface Lease {
  readonly connection: Connection;
  /** Takes one more place on the same connection, for a stream that outlives the call that opened it. */
  hold(): () => void;
  release(): void;
  /** The connection turned out to be over: nobody shall be given it again. */
  discard(): void;
}

interface Slot {
  connection: Connection;
  places: number;
}

/** Lends connections to the leader to calls, and opens and closes them as calls come and go. */
export class LeaderConnections {
  readonly leader: LeaderAddress;
  readonly #dialer: Dialer;
  readonly #clock: Clock;
  readonly #slots = new Set<Slot>();
  readonly #abort = new AbortController();
  /** Rejects when the leader is retired: a dial that is given up takes a while to let go. */
  readonly #retired = Promise.withResolvers<never>();
  #dialing: Promise<void> | undefined;
  #cancelLinger = () => {};

  constructor(leader: LeaderAddress, dialer: Dialer, clock: Clock) {
    this.leader = leader;
    this.#dialer = dialer;
    this.#clock = clock;
    this.#retired.promise.catch(() => {});
  }

  /** Whether nothing is open or being opened. */
  get idle(): boolean {
    return this.#slots.size === 0 && this.#dialing === undefined;
  }

  /** A place on a connection, dialed if need be. Rejects with the dial's error, or as `patience` says. */
  async lease(patience: Omit<Patience, "clock">): Promise<Lease> {
    const clock = this.#clock, end = clock.monotonic() + patience.withinMs;
    for (;;) {
      if (this.#abort.signal.aborted) throw this.#abort.signal.reason;
      for (const slot of this.#slots) if (slot.places < MAX_CALLS_PER_CONNECTION) return this.#take(slot);
      if (this.#slots.size >= MAX_LEADER_CONNECTIONS) {
        throw new CoveyError(
          "resource_exhausted",
          `Cannot call the leader: ${MAX_LEADER_CONNECTIONS * MAX_CALLS_PER_CONNECTION} calls are open`,
          { retryable: true },
        );
      }
      this.#dialing ??= this.#dial().finally(() => this.#dialing = undefined);
      await within(Promise.race([this.#dialing, this.#retired.promise]), {
        ...patience,
        clock,
        withinMs: Math.max(0, end - clock.monotonic()),
      });
    }
  }

  /** Nothing new is called: idle connections close at once, others when their calls are done, `lingerMs` at most. */
  retire(lingerMs: number): void {
    const reason = new CoveyError("unavailable", "Cannot call the leader: another manager leads now");
    this.#abort.abort(reason);
    this.#retired.reject(reason);
    for (const slot of [...this.#slots]) if (slot.places === 0 || lingerMs === 0) this.#close(slot);
    this.#cancelLinger();
    if (this.#slots.size === 0) return;
    this.#cancelLinger = this.#clock.setTimer(lingerMs, () => {
      for (const slot of [...this.#slots]) this.#close(slot);
    });
  }

  async #dial(): Promise<void> {
    const { nodeID, address } = this.leader;
    const connection = await this.#dialer.dial(address, { signal: this.#abort.signal });
    const { peer } = connection;
    if (this.#abort.signal.aborted) connection.close("another manager leads now");
    else if (peer?.nodeID !== nodeID || peer.role !== "swarm-manager") {
      connection.close("it is not the leader's");
      const who = peer ? `${peer.role} ${peer.nodeID}` : "somebody without a certificate";
      throw new CoveyError("unavailable", `Cannot call leader ${nodeID} at ${address}: ${who} answers there`);
    } else {
      const slot = { connection, places: 0 };
      this.#slots.add(slot);
      void connection.closed.then(() => this.#forget(slot));
    }
  }

  #take(slot: Slot): Lease {
    const place = () => {
      slot.places++;
      let held = true;
      return () => {
        if (!held) return;
        held = false;
        slot.places--;
        if (slot.places === 0 && this.#abort.signal.aborted) this.#close(slot);
      };
    };
    return {
      connection: slot.connection,
      hold: place,
      release: place(),
      discard: () => this.#close(slot),
    };
  }

  #close(slot: Slot): void {
    this.#forget(slot);
    slot.connection.close("the leader changed");
  }

  #forget(slot: Slot): void {
    this.#slots.delete(slot);
    if (this.#slots.size === 0) this.#cancelLinger();
  }
}
