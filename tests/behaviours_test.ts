/** `docs/behaviours.md` tells the truth: every behaviour has its row, every row tests that name it. */
import { deepStrictEqual, ok } from "node:assert/strict";
import { numberedRows, problemOf, testsIn } from "./support/test_table.ts";

const from = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, i) => first + i);
/** Of orchestrators, updater, scheduler, enforcer and reaper; of the dispatcher. */
const BEHAVIOURS = [...from(19, 73), ...from(77, 85)];

const rows = numberedRows("docs/behaviours.md").map(([number, behaviour = "", tests = ""]) => ({
  number: Number(number),
  behaviour,
  tests: testsIn(tests),
}));

/** Whether a test's name ends in a bracket with `number` in it. */
function isAbout(number: number, name = ""): boolean {
  const bracket = /\(([^()]*)\)[^()]*$/.exec(name)?.[1] ?? "";
  return bracket.split(/\D+/).map(Number).includes(number);
}

Deno.test("Behaviours: the table has every number once, each with what happens", () => {
  deepStrictEqual(rows.map(({ number }) => number), BEHAVIOURS);
  for (const { number, behaviour } of rows) ok(behaviour.length > 0, `${number} says what happens`);
});

Deno.test("Behaviours: every test that the table names exists", () => {
  deepStrictEqual(rows.flatMap(({ tests }) => tests.map((test) => problemOf(test)).filter(Boolean)), []);
});

Deno.test("Behaviours: each row has a test, and each of its tests has the number in its name", () => {
  const silent = rows.filter(({ number, tests }) =>
    tests.length === 0 || !tests.every(({ name }) => isAbout(number, name))
  );
  deepStrictEqual(silent.map(({ number }) => number), []);
});
