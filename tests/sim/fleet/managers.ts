/** The managers of a fleet, as far as one sees of them from outside: somebody leads, and then somebody else does. */
import type { Clock } from "../../../api/clock.ts";
import type { Random } from "../../../api/random.ts";
import { Dispatcher } from "../../../manager/dispatcher/mod.ts";
import { Leadership } from "../../../manager/leader/leadership.ts";
import { leaderComponents } from "../../../manager/server/leader_components.ts";
import { createStore } from "../../../manager/store/memory_store.ts";
import type { Store } from "../../../manager/store/store.ts";
import type { Method } from "../../../transport/mod.ts";
import { START_MS, type World } from "../cluster/world.ts";
import type { SeededRandom } from "../raft/random.ts";
import { FleetLog } from "./log.ts";

/** Clocks of managers are apart by so much, or are set by it, milliseconds. */
const SKEWS_MS = [0, 0, 3_000, -3_000, 3_600_000, -3_600_000];
/** Longest time without a leader, milliseconds. */
const MAX_ELECTION_MS = 4_000;

/** The production leader on the log that all managers share. What a leader keeps in memory ends with it. */
export class Managers {
  readonly store: Store;
  readonly clock: Clock;
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly #log: FleetLog;
  #skewMs = 0;
  #leader: { leadership: Leadership; methods: Record<string, Method> } | undefined;

  constructor(world: World) {
    this.#world = world;
    this.#random = world.fork();
    this.clock = {
      now: () => START_MS + world.now + this.#skewMs,
      monotonic: () => world.now,
      setTimer: (delayMs, run) => world.queue.timer(Math.max(0, delayMs), run),
    };
    this.#log = new FleetLog(world);
    const store = createStore(this.#log, this.clock, { freeze: false });
    void this.#log.start(store);
    this.store = store;
  }

  /** The calls that agents make; undefined while nobody leads. */
  get methods(): Record<string, Method> | undefined {
    return this.#leader?.methods;
  }

  lead(): void {
    const { store, clock } = this;
    const { next } = this.#world.fork();
    const random: Random = {
      float: next,
      bytes: (length) => Uint8Array.from({ length }, () => next() * 256),
    };
    const dispatcher = new Dispatcher({ store, clock, random, managers: () => [], rootCA: () => "root" });
    const members = { removeNode: () => Promise.resolve() };
    const makers = leaderComponents({ store, clock, random, dispatcher, members });
    const leadership = new Leadership(makers, clock);
    this.#log.lead();
    this.#leader = { leadership, methods: dispatcher.methods() };
    const { term } = this.#log.status();
    this.#world.log.note(`term ${term} begins`);
    this.#world.spawn(leadership.follow({ isLeader: true, term }));
  }

  /** The leader is gone, and after a while another one leads, with a clock of its own. */
  async change(): Promise<void> {
    await this.stop();
    await this.#world.sleep(this.#random.next() * MAX_ELECTION_MS);
    this.setClock();
    this.lead();
  }

  async stop(): Promise<void> {
    const leader = this.#leader;
    this.#leader = undefined;
    this.#log.depose();
    const { term } = this.#log.status();
    await leader?.leadership.follow({ isLeader: false, term });
  }

  /** Somebody, or a network, sets the leader's clock. */
  setClock(): void {
    this.#skewMs = this.#random.pick(SKEWS_MS);
  }
}
