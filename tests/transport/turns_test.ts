import assert from "node:assert/strict";
import {
  type Lane,
  MAX_FRAMES_PER_TURN,
  MAX_FRAMES_PER_VISIT,
  TURN_MS,
  VISIT_MS,
} from "../../transport/limits.ts";
import { type Guest, Turns } from "../../transport/turns.ts";
import { FakeClock } from "../support/fake_clock.ts";

const VISIT = MAX_FRAMES_PER_VISIT.nodes;

/** Turns of an event loop in the test's hands, and a clock that moves while frames are handled. */
class Loop {
  nowMs = 0;
  /** Who had frames handled, with their number, visit by visit. */
  visits: [string, number][] = [];
  #deferred: (() => void)[] = [];
  readonly turns: Turns;

  constructor() {
    const clock = new FakeClock();
    clock.monotonic = () => this.nowMs;
    this.turns = new Turns(clock);
  }

  guest(name: string, lane: Lane, frames: number, frameMs = 0): Guest & { held: boolean } {
    const guest = {
      lane,
      held: false,
      step: () => {
        if (frames === 0) return false;
        frames--;
        this.nowMs += frameMs;
        const last = this.visits.at(-1);
        if (last?.[0] === name) last[1]++;
        else this.visits.push([name, 1]);
        return true;
      },
      hold: () => void (guest.held = true),
      go: () => void (guest.held = false),
      defer: (run: () => void) => void this.#deferred.push(run),
    };
    return guest;
  }

  /** One turn of the event loop. */
  turn(): void {
    this.visits = [];
    for (const run of this.#deferred.splice(0)) run();
  }

  get idle(): boolean {
    return this.#deferred.length === 0;
  }
}

Deno.test("Turns: little is handled as it comes, and nothing runs afterwards", () => {
  const loop = new Loop(), guest = loop.guest("a", "nodes", 3);
  loop.turns.arrived(guest);
  assert.deepEqual(loop.visits, [["a", 3]]);
  assert.equal(guest.held, false);
  loop.turn();
  assert.equal(loop.idle, true);
});

Deno.test("Turns: who floods is held back and has one visit in each turn of the event loop", () => {
  const loop = new Loop(), flood = loop.guest("flood", "nodes", 3 * VISIT + 1);
  loop.turns.arrived(flood);
  assert.equal(flood.held, true);
  const other = loop.guest("other", "nodes", 1);
  loop.turns.arrived(other);
  assert.deepEqual(loop.visits, [["flood", VISIT], ["other", 1]], "nobody else waits");
  for (const frames of [VISIT, VISIT, 1]) {
    assert.equal(flood.held, true);
    loop.turn();
    assert.deepEqual(loop.visits, [["flood", frames]]);
  }
  assert.equal(flood.held, false);
});

Deno.test("Turns: many that flood have their visits one after the other, and a newcomer waits for one round", () => {
  const loop = new Loop();
  const names = Array.from({ length: 10 }, (_, i) => `f${i}`);
  for (const name of names) loop.turns.arrived(loop.guest(name, "nodes", 10_000));
  assert.ok(loop.visits.reduce((sum, [, frames]) => sum + frames, 0) <= MAX_FRAMES_PER_TURN.nodes);
  loop.turns.arrived(loop.guest("new", "nodes", 1));
  const seen: string[] = [];
  while (seen.at(-1) !== "new") {
    loop.turn();
    seen.push(...loop.visits.map(([name]) => name));
  }
  assert.deepEqual(seen, [...names, "new"]);
});

Deno.test("Turns: slow frames count by their time", () => {
  const loop = new Loop(), slow = loop.guest("slow", "nodes", 10, VISIT_MS);
  loop.turns.arrived(slow);
  assert.deepEqual(loop.visits, [["slow", 1]]);
  loop.nowMs += TURN_MS;
  const late = loop.guest("late", "nodes", 1);
  loop.turns.arrived(late);
  assert.equal(late.held, true, "this turn has had its time");
  loop.turn();
  assert.deepEqual(loop.visits, [["slow", 1]]);
});

Deno.test("Turns: managers come first and do not wait for what others have used up; nobody is left out", () => {
  const loop = new Loop();
  for (let i = 0; i < 8; i++) loop.turns.arrived(loop.guest(`n${i}`, "nodes", 10_000));
  loop.turns.arrived(loop.guest("joiner", "anyone", 1));
  loop.visits = [];
  const manager = loop.guest("manager", "managers", MAX_FRAMES_PER_VISIT.managers + 1);
  loop.turns.arrived(manager);
  assert.deepEqual(loop.visits, [["manager", MAX_FRAMES_PER_VISIT.managers]]);
  loop.turn();
  assert.deepEqual(loop.visits.map(([name]) => name), ["manager", "n0", "joiner"]);
});
