import assert from "node:assert/strict";
import fc from "fast-check";
import { NodeInfo } from "../../../manager/scheduler/node_info.ts";
import { type Candidate, createPlacer } from "../../../manager/scheduler/spread.ts";
import { makeNode } from "../orchestrator/harness.ts";

interface Start {
  room: number;
  failures: number;
  serviceTasks: number;
  others: number;
}

const start: fc.Arbitrary<Start> = fc.record({
  room: fc.integer({ min: 0, max: 6 }),
  failures: fc.constantFrom(0, 0, 0, 5, 7),
  serviceTasks: fc.integer({ min: 0, max: 5 }),
  others: fc.integer({ min: 0, max: 5 }),
});

function candidates(starts: Start[], zones: string[] = []): Candidate[] {
  return starts.map(({ room, failures, serviceTasks, others }, i) => ({
    info: new NodeInfo(makeNode(`n${i}`, { labels: zones[i] ? { zone: zones[i] } : {} })),
    room,
    failures,
    serviceTasks,
    total: serviceTasks + others,
  }));
}

/** The rank of a candidate, as the rule states it. */
const rank = (c: Candidate) =>
  [c.failures, c.serviceTasks, c.total].map((n) => String(n).padStart(4, "0")).join();

/** Places one task after another by looking at every node: the rule itself. */
function naive(list: Candidate[], count: number): string[] {
  const ranks: string[] = [];
  for (let i = 0; i < count; i++) {
    const [best] = list.filter((c) => c.room > 0).sort((a, b) =>
      rank(a) < rank(b) ? -1 : rank(a) > rank(b) ? 1 : 0
    );
    if (best === undefined) break;
    ranks.push(rank(best));
    best.room--;
    best.serviceTasks++;
    best.total++;
  }
  return ranks;
}

Deno.test("Placer: chooses a node of the same rank as the naive rule, every time", () => {
  fc.assert(fc.property(fc.array(start, { maxLength: 12 }), fc.nat(40), (starts, count) => {
    const list = candidates(starts);
    const before = new Map(list.map((candidate) => [candidate.info, candidate]));
    const placer = createPlacer(list);
    const ranks: string[] = [];
    for (let i = 0; i < count; i++) {
      const ranksNow = new Map(list.map((candidate) => [candidate.info, rank(candidate)]));
      const info = placer.next();
      if (info === undefined) break;
      ranks.push(ranksNow.get(info)!);
      assert.ok(before.get(info)!.room >= 0, "no node takes more than it has room for");
    }
    assert.deepEqual(ranks, naive(candidates(starts), count));
  }));
});

Deno.test("Placer: equal nodes differ by one task at most", () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 20 }), fc.nat(100), (nodes, count) => {
    const fresh = Array.from(
      { length: nodes },
      () => ({ room: Infinity, failures: 0, serviceTasks: 0, others: 0 }),
    );
    const list = candidates(fresh);
    const placer = createPlacer(list);
    for (let i = 0; i < count; i++) assert.ok(placer.next());
    const counts = list.map((candidate) => candidate.serviceTasks);
    assert.ok(Math.max(...counts) - Math.min(...counts) <= 1);
  }));
});

Deno.test("Placer: branches of a preference differ by one at most while they have room", () => {
  const zone = fc.constantFrom("a", "b", "c", "");
  fc.assert(fc.property(fc.array(zone, { minLength: 1, maxLength: 12 }), fc.nat(60), (zones, count) => {
    const fresh = zones.map(() => ({ room: Infinity, failures: 0, serviceTasks: 0, others: 0 }));
    const list = candidates(fresh, zones);
    const placer = createPlacer(list, [{ Spread: { SpreadDescriptor: "node.labels.zone" } }]);
    for (let i = 0; i < count; i++) assert.ok(placer.next());
    const byZone = new Map<string, number>();
    list.forEach((c, i) => byZone.set(zones[i]!, (byZone.get(zones[i]!) ?? 0) + c.serviceTasks));
    const counts = [...byZone.values()];
    assert.ok(Math.max(...counts) - Math.min(...counts) <= 1);
  }));
});
