import { members } from "../../../manager/raft/conf_change.ts";
import type { MemberChange, Message } from "../../../manager/raft/mod.ts";
import { Checker, Violation } from "./checker.ts";
import { EventQueue } from "./event_queue.ts";
import { disturb, healAll, huntLeader, huntVoter } from "./nemesis.ts";
import { Network } from "./network.ts";
import { type Faults, SimNode, type World } from "./node.ts";
import { SeededRandom } from "./random.ts";

/** What one run did. */
export interface SimResult {
  readonly virtualMs: number;
  readonly committed: number;
  readonly acknowledged: number;
  readonly members: number;
}

/** How long the disturbances of one run last, and how long a healed cluster may take to be well, in milliseconds. */
const CHAOS_MS = { least: 4000, most: 15_000 };
const RECOVERY_MS = 20_000;
const MAX_NODES = 7;

/** A cluster, its clients and its nemesis, all out of one seed. */
export class Simulation implements World {
  readonly queue = new EventQueue();
  readonly random: SeededRandom;
  readonly checker = new Checker();
  readonly network: Network;
  readonly #nodes = new Map<number, SimNode>();
  #proposals = 0;
  #calm = false;
  readonly preVote: World["preVote"];
  readonly checkQuorum: boolean;
  readonly #hunt: number;

  constructor(seed: number, readonly faults: Faults = {}) {
    this.random = new SeededRandom(seed);
    this.preVote = this.random.pick(["on", "on", "on", "on", "off", "mixed"] as const);
    this.checkQuorum = this.random.chance(0.9);
    this.#hunt = this.random.pick([0, 0, 0.3, 0.9, 0.9]);
    this.network = new Network(
      this.queue,
      this.random,
      (message) => this.#deliver(message),
      (message, arrived) =>
        this.#nodes.get(message.from)?.act((raw) => raw.reportSnapshot(message.to, arrived)),
    );
    const voters = Array.from({
      length: this.random.pick(this.#hunt > 0 ? [3, 3, 3, 5] : [1, 2, 3, 3, 3, 4, 5, 5]),
    }, (_, i) => i + 1);
    for (const id of voters) this.#nodes.set(id, new SimNode(id, this, voters));
  }

  nodes(): SimNode[] {
    return [...this.#nodes.values()];
  }

  send(message: Message): void {
    this.network.send(message);
  }

  onLeader(node: SimNode): void {
    if (this.#calm || !this.random.chance(this.#hunt)) return;
    this.queue.after(this.random.next(), () => this.#writeTo(node));
    huntLeader(this, node);
  }

  onVote(node: SimNode): void {
    if (!this.#calm && this.random.chance(this.#hunt)) huntVoter(this, node);
  }

  /** @throws {Violation} if a property was violated */
  run(): SimResult {
    const { queue, random } = this;
    for (const node of this.nodes()) node.start();
    this.#repeat(5, 60, () => this.#write());
    this.#repeat(5, 120, () => this.#read());
    this.#repeat(100, 1500, () => this.#checkpoint(), true);
    this.#repeat(200, 2500, () => this.#operate());
    // A hunt needs its prey to get somewhere in between.
    const harshness = this.#hunt > 0.5 ? 3000 : random.pick([200, 600, 2000]);
    this.#repeat(harshness / 4, harshness * 2, () => disturb(this));
    queue.runUntil(random.between(CHAOS_MS.least, CHAOS_MS.most));
    this.#calm = true;
    this.#recover();
    const leader = this.#newestLeader();
    return {
      virtualMs: queue.now,
      committed: this.checker.committed.length - 1,
      acknowledged: this.checker.acknowledged,
      members: leader ? members(leader.raft!.conf).length : 0,
    };
  }

  #repeat(leastMs: number, mostMs: number, run: () => void, evenCalm = false): void {
    const again = () => {
      if (this.#calm && !evenCalm) return;
      run();
      this.queue.after(this.random.between(leastMs, mostMs), again);
    };
    this.queue.after(this.random.between(leastMs, mostMs), again);
  }

  #deliver(message: Message): void {
    this.#nodes.get(message.to)?.act((raw) => {
      raw.step(message);
    });
  }

  #leader(): SimNode | undefined {
    return this.random.shuffled(this.nodes()).find((node) => node.isLeader && node.canAct);
  }

  /** Without check-quorum, one that was removed while it was cut off leads on: only its driver would be told. */
  #newestLeader(): SimNode | undefined {
    const leaders = this.nodes().filter((node) => node.isLeader);
    return leaders.toSorted((a, b) => b.raft!.term - a.raft!.term)[0];
  }

  #checkpoint(): void {
    const some = this.#calm ? this.nodes() : [this.random.pick(this.nodes())];
    for (const node of some) node.checkpoint(this.random.between(0, 10));
  }

  #write(): void {
    this.#writeTo(this.#leader() ?? this.random.pick(this.nodes()));
  }

  #writeTo(node: SimNode): void {
    for (let i = this.random.between(1, 5); i > 0; i--) {
      const data = new Uint8Array(this.random.between(4, 60));
      new DataView(data.buffer).setUint32(0, ++this.#proposals);
      node.propose(data);
    }
  }

  #read(): void {
    this.random.pick(this.nodes()).read();
  }

  /** What an administrator does: transfers and membership changes, sensible ones or not. */
  #operate(): void {
    const node = this.#leader();
    if (!node) return;
    const { random } = this;
    if (random.chance(0.3)) {
      return node.act((raw) => void raw.transferLeadership(random.pick(this.nodes()).id));
    }
    if (random.chance(0.3)) return this.#breakConnection(node, random.pick(this.nodes()));
    const changes = this.#changes(node);
    node.act((raw) => void raw.proposeConfChange(changes));
  }

  /** Both ends are told, as if what was between them had been sent over it. */
  #breakConnection(leader: SimNode, other: SimNode): void {
    leader.act((raw) => raw.reportUnreachable(other.id));
    other.act((raw) => raw.reportLost(leader.id));
  }

  #changes(leader: SimNode): MemberChange[] {
    const { random } = this;
    const { voters, learners } = leader.raft!.conf;
    if (learners.length === 0 && this.#nodes.size < MAX_NODES && random.chance(0.7)) {
      const id = this.#nodes.size + 1;
      const node = new SimNode(id, this, []);
      this.#nodes.set(id, node);
      node.start();
      return [{ op: "add_learner", id }];
    }
    const someVoter = random.pick(voters);
    const changes: MemberChange[] = [];
    if (learners.length > 0) changes.push({ op: "add_voter", id: random.pick(learners) });
    if (voters.length > 2 && random.chance(0.6)) {
      changes.push({ op: random.chance(0.5) ? "remove" : "add_learner", id: someVoter });
    }
    return random.shuffled(changes);
  }

  /** LV: with everything repaired, a leader is found, and a new entry reaches every member. */
  #recover(): void {
    healAll(this);
    const { queue, checker } = this;
    let target = Infinity;
    const isWell = () => {
      const leader = this.#newestLeader();
      if (!leader || leader.applied < target) return false;
      return members(leader.raft!.conf).every((id) => this.#nodes.get(id)!.applied >= target);
    };
    const end = queue.now + RECOVERY_MS;
    const write = () => {
      const leader = this.#newestLeader();
      leader?.act((raw) => {
        const result = raw.propose([new Uint8Array(8)]);
        if (result.ok) target = Math.max(checker.acknowledged, result.index);
      });
      queue.after(2000, write);
    };
    queue.after(3000, write);
    queue.runUntil(end, isWell);
    if (!isWell()) throw new Violation("LV", `not well within ${RECOVERY_MS} ms after healing`);
    const leader = this.#newestLeader()!;
    for (const id of members(leader.raft!.conf)) checker.survives(id, this.#nodes.get(id)!.applied);
  }
}
