import type { Message } from "../../../manager/raft/mod.ts";
import { Checker, Violation } from "./checker.ts";
import { EventQueue } from "./event_queue.ts";
import { healAll } from "./nemesis.ts";
import { Network } from "./network.ts";
import { SimNode, type World } from "./node.ts";
import { SeededRandom } from "./random.ts";

/** Longest virtual wait, in milliseconds. */
const LIMIT_MS = 20_000;
const STEP_MS = 10;

/** A cluster on the simulator to which a test does what it has to. Safety is checked after every step all the same. */
export class Scenario implements World {
  readonly queue = new EventQueue();
  readonly random: SeededRandom;
  readonly checker = new Checker();
  readonly faults = {};
  readonly preVote = "on";
  readonly checkQuorum = true;
  readonly network: Network;
  /** How long a message waits before the network gets it, milliseconds. */
  extraMs: (message: Message) => number = () => 0;
  /** The terms that had a leader, in order. */
  readonly terms: number[] = [];
  readonly #nodes: SimNode[];
  readonly #clogged = new Set<number>();
  #held: Message[] = [];
  #loaded = false;

  constructor(seed: number, size: number) {
    this.random = new SeededRandom(seed);
    this.network = new Network(
      this.queue,
      this.random,
      (message) => this.node(message.to).act((raw) => void raw.step(message)),
      ({ from, to }, arrived) => this.node(from).act((raw) => raw.reportSnapshot(to, arrived)),
    );
    const voters = Array.from({ length: size }, (_, i) => i + 1);
    this.#nodes = voters.map((id) => new SimNode(id, this, voters));
    for (const node of this.#nodes) node.start();
  }

  nodes(): SimNode[] {
    return this.#nodes;
  }

  node(id: number): SimNode {
    return this.#nodes[id - 1]!;
  }

  /** Who leads the newest term, as far as it runs and knows. */
  get leader(): SimNode | undefined {
    return this.#nodes.filter((node) => node.isLeader)
      .sort((a, b) => b.raft!.term - a.raft!.term)[0];
  }

  send(message: Message): void {
    if (this.#clogged.has(message.from) || this.#clogged.has(message.to)) {
      return void this.#held.push(message);
    }
    const delay = this.extraMs(message);
    if (delay > 0) this.queue.after(delay, () => this.network.send(message));
    else this.network.send(message);
  }

  onLeader(node: SimNode): void {
    this.terms.push(node.raft!.term);
  }

  onVote(): void {}

  /** Holds everything from and to a member back. */
  clog(id: number): void {
    this.#clogged.add(id);
  }

  /** Lets what was held back go. */
  unclog(id: number): void {
    this.#clogged.delete(id);
    const held = this.#held;
    this.#held = [];
    for (const message of held) this.send(message);
  }

  run(ms: number): void {
    this.queue.runUntil(this.queue.now + ms);
  }

  /** Lets time pass until `done` says yes. */
  until(what: string, done: () => boolean): void {
    for (let waited = 0; !done(); waited += STEP_MS) {
      if (waited > LIMIT_MS) throw new Violation("LV", `waited ${LIMIT_MS} ms in vain until ${what}`);
      this.run(STEP_MS);
    }
  }

  /** Waits for a leader that has committed an own entry. */
  elect(): SimNode {
    const leads = () => this.leader?.raft?.hasCommittedInTerm() === true;
    this.until("there is a leader", leads);
    return this.leader!;
  }

  /** Clients write every few milliseconds and read every few more, each at any member, until {@linkcode converge}. */
  load(): void {
    this.#loaded = true;
    const again = () => {
      if (!this.#loaded) return;
      const { random } = this;
      const node = random.chance(0.7) ? this.leader ?? this.node(1) : random.pick(this.#nodes);
      if (random.chance(0.6)) node.propose(new Uint8Array(random.between(4, 40)));
      else node.read();
      this.queue.after(random.between(5, 30), again);
    };
    again();
  }

  /** LV and DU: heals everything; soon every member has all that was acknowledged, and one entry more. */
  converge(): void {
    this.#loaded = false;
    this.extraMs = () => 0;
    for (const id of [...this.#clogged]) this.unclog(id);
    healAll(this);
    this.run(2_000);
    const before = this.checker.acknowledged;
    this.until("a new entry is acknowledged", () => {
      this.elect().propose(new Uint8Array(4));
      this.run(100);
      return this.checker.acknowledged > before;
    });
    const { acknowledged } = this.checker;
    this.until("all have it", () => this.#nodes.every(({ applied }) => applied >= acknowledged));
  }
}
