import { FAIR, type Network, type Weather } from "./network.ts";
import type { SimNode } from "./node.ts";
import type { SeededRandom } from "./random.ts";
import type { EventQueue } from "./event_queue.ts";

/** What the nemesis may disturb. */
export interface Target {
  readonly queue: EventQueue;
  readonly random: SeededRandom;
  readonly network: Network;
  /** All nodes, down ones too. */
  nodes(): SimNode[];
}

function crash(target: Target, node: SimNode): void {
  const { random, queue } = target;
  node.crash();
  // Often at once, so that it meets the election it took part in.
  const downMs = random.chance(0.6) ? random.between(1, 60) : random.between(100, 4000);
  queue.after(downMs, () => node.start());
}

function crashSome(target: Target): void {
  const nodes = target.random.shuffled(target.nodes());
  const count = target.random.chance(0.2)
    ? nodes.length
    : target.random.between(1, Math.ceil(nodes.length / 2));
  for (const node of nodes.slice(0, count)) crash(target, node);
}

function crashLeader(target: Target): void {
  for (const node of target.nodes()) if (node.isLeader) crash(target, node);
}

function split(target: Target): void {
  const { random, network } = target;
  const nodes = random.shuffled(target.nodes());
  const at = random.between(1, Math.max(1, nodes.length - 1));
  const oneWay = random.chance(0.4);
  for (const a of nodes.slice(0, at)) {
    for (const b of nodes.slice(at)) {
      network.cut(a.id, b.id);
      if (!oneWay) network.cut(b.id, a.id);
    }
  }
}

function isolateLeader(target: Target): void {
  const { random, network } = target;
  const nodes = target.nodes();
  const leaders = nodes.filter((node) => node.isLeader);
  if (leaders.length === 0) return;
  const leader = random.pick(leaders);
  const [send, receive] = random.pick([[true, true], [true, false], [false, true]]);
  // Sometimes it keeps one follower: the way to entries that only a minority has.
  const friend = random.chance(0.5) ? random.pick(nodes).id : 0;
  for (const { id } of nodes) {
    if (id === leader.id || id === friend) continue;
    if (send) network.cut(leader.id, id);
    if (receive) network.cut(id, leader.id);
  }
}

function cutLinks(target: Target): void {
  const { random, network } = target;
  const ids = target.nodes().map(({ id }) => id);
  for (let i = random.between(1, ids.length * 2); i > 0; i--) network.cut(random.pick(ids), random.pick(ids));
}

/** Swizzle: links are clogged one by one, and restored in another order. */
function swizzle(target: Target): void {
  const { random, network, queue } = target;
  const ids = target.nodes().map(({ id }) => id);
  const some = random.shuffled(ids).slice(0, random.between(1, ids.length));
  const set = (id: number, change: (from: number, to: number) => void) => {
    for (const other of ids) {
      change(id, other);
      change(other, id);
    }
  };
  some.forEach((id, i) =>
    queue.after(i * random.between(10, 300), () => set(id, (a, b) => network.cut(a, b)))
  );
  random.shuffled(some).forEach((id, i) =>
    queue.after(2000 + i * random.between(10, 300), () => set(id, (a, b) => network.mend(a, b)))
  );
}

function pause(target: Target): void {
  const { random, queue } = target;
  random.pick(target.nodes()).pausedUntil = queue.now + random.between(50, 3000);
}

function slowDisk(target: Target): void {
  const { random } = target;
  random.pick(target.nodes()).diskMs = random.pick([1, 1, 5, 50, 300, 8000]);
}

function badWeather({ random, network }: Target): void {
  const weather: Weather = {
    loss: random.pick([0, 0.02, 0.3]),
    duplication: random.pick([0, 0.05, 0.5]),
    slow: random.pick([0, 0.1, 0.5]),
    slowMs: random.pick([20, 200, 2000]),
    voteMs: random.pick([0, 20, 100]),
  };
  network.weather = random.chance(0.3) ? FAIR : weather;
}

function heal({ network }: Target): void {
  network.mendAll();
  network.weather = FAIR;
}

/** Two that hear only the others try at the same moment; their requests travel at different speeds. */
function duel(target: Target): void {
  const { random, network, queue } = target;
  const [one, other] = random.shuffled(target.nodes());
  if (!one || !other) return;
  if (random.chance(0.7)) {
    network.cut(one.id, other.id);
    network.cut(other.id, one.id);
    queue.after(500, () => network.mendAll());
  }
  if (random.chance(0.7)) network.weather = { ...network.weather, voteMs: 60 };
  one.act((raw) => raw.campaign());
  other.act((raw) => raw.campaign());
}

const DEEDS: readonly ((target: Target) => void)[] = [
  ...[crashSome, crashSome, crashLeader, crashLeader, split, isolateLeader, isolateLeader, cutLinks],
  ...[duel, duel, swizzle, pause, slowDisk, badWeather, badWeather, heal, heal, heal],
];

/** Does one random bad (or good) deed. */
export function disturb(target: Target): void {
  target.random.pick(DEEDS)(target);
}

/** Strikes a new leader while its first entries travel, so that they reach only some. Others get their links back. */
export function huntLeader(target: Target, leader: SimNode): void {
  const { random, queue, network } = target;
  queue.after(random.next() * random.pick([0, 3, 6, 12, 40]), () => {
    if (random.chance(0.6)) network.mendAll();
    // Once its lease is over, several will want to succeed it.
    if (random.chance(0.5)) queue.after(random.between(600, 1000), () => duel(target));
    if (random.chance(0.4)) return crash(target, leader);
    const friend = random.chance(0.3) ? random.pick(target.nodes()).id : 0;
    for (const { id } of target.nodes()) {
      if (id === leader.id || id === friend) continue;
      network.cut(leader.id, id);
      network.cut(id, leader.id);
    }
  });
}

/** Restarts a voter while the election that it decided goes on. */
export function huntVoter({ random, queue }: Target, voter: SimNode): void {
  queue.after(random.next() * 3, () => voter.crash());
  queue.after(3 + random.next() * 3, () => voter.start());
}

/** Ends all disturbance: every link works, every node runs. */
export function healAll(target: Target): void {
  target.network.calm = true;
  heal(target);
  for (const node of target.nodes()) {
    node.pausedUntil = 0;
    node.diskMs = 1;
    node.start();
  }
}
