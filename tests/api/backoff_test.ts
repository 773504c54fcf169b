import assert from "node:assert/strict";
import { Backoff, type Jitter } from "../../api/backoff.ts";

const LIMITS = { minMs: 100, maxMs: 1000 };

function next(backoff: Backoff, times: number): number[] {
  return Array.from({ length: times }, () => backoff.next());
}

function jitter(float: number, part: number): Jitter {
  return { random: { float: () => float, bytes: (length) => new Uint8Array(length) }, part };
}

Deno.test("Backoff: pauses double up to the longest and start over after a success", () => {
  const backoff = new Backoff(LIMITS);
  assert.deepEqual(next(backoff, 6), [100, 200, 400, 800, 1000, 1000]);
  backoff.reset();
  assert.deepEqual(next(backoff, 2), [100, 200]);
});

Deno.test("Backoff: stays at the longest pause however long nothing works", () => {
  assert.equal(next(new Backoff(LIMITS), 5000).at(-1), 1000);
});

Deno.test("Backoff: adds what it is told at each doubling", () => {
  assert.deepEqual(next(new Backoff({ ...LIMITS, addMs: 100 }), 5), [100, 300, 700, 1000, 1000]);
});

Deno.test("Backoff: draws only the given part of a pause at random", () => {
  assert.deepEqual(next(new Backoff(LIMITS, jitter(0, 0.25)), 2), [75, 150]);
  assert.deepEqual(next(new Backoff(LIMITS, jitter(0.5, 1)), 2), [50, 100]);
  assert.deepEqual(next(new Backoff(LIMITS, jitter(0, 1)), 2), [0, 0]);
});
