import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { SeededRandom } from "../sim/raft/random.ts";
import { drawFault } from "./faults.ts";

const DRAWS = 2000;

for (const managers of [1, 3, 5]) {
  Deno.test(`Faults: with ${managers} managers a majority stays whole, unless all are killed`, () => {
    const random = new SeededRandom(managers);
    const kinds = new Set<string>();
    for (let i = 0; i < DRAWS; i++) {
      const { kind, victims, durationMs, quietMs } = drawFault(random, managers);
      kinds.add(kind);
      strictEqual(new Set(victims).size, victims.length);
      ok(victims.every((victim) => victim >= 0 && victim < managers));
      ok(durationMs > 0 && quietMs > 0);
      // A cut between two managers leaves all of them reachable by somebody else.
      const most = kind === "kill all"
        ? managers
        : kind === "cut between"
        ? 2
        : Math.max(1, (managers - 1) / 2);
      ok(victims.length <= most, `${kind} ${victims}`);
    }
    strictEqual(kinds.size, managers === 1 ? 2 : 7);
  });
}

Deno.test("Faults: equal seeds draw equal faults", () => {
  const [one, other] = [new SeededRandom(5), new SeededRandom(5)];
  for (let i = 0; i < 50; i++) deepStrictEqual(drawFault(one, 5), drawFault(other, 5));
});
