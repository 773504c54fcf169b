/** `docs/reliability.md` tells the truth: every scenario has its row, every row its tests or a reason. */
import { deepStrictEqual, ok } from "node:assert/strict";
import { type NamedTest, numberedRows, problemOf, testsIn } from "./support/test_table.ts";

const ROOT = new URL("../", import.meta.url);
const TRACES = "tests/manager/raft/testdata/";
const SCENARIOS = 379;
const INVARIANTS =
  /^(ES|LM|LC|SM|DU|LIN|WO|TM|LV|BD|SE|RO|AP)(, (ES|LM|LC|SM|DU|LIN|WO|TM|LV|BD|SE|RO|AP))*$/;

interface Row {
  number: number;
  event: string;
  invariants: string;
  tests: NamedTest[];
  missing: string;
}

function parseRow([number, event = "", invariants = "", tests = "", missing = ""]: string[]): Row {
  return { number: Number(number), event, invariants, tests: testsIn(tests), missing };
}

const rows = numberedRows("docs/reliability.md").map(parseRow);

/** Whether the first lines of a trace say that it is about `scenario`: `Scenario 4`, `Scenarios 9 and 47`, `33 to 35`. */
function isTraceOf(scenario: number, text: string): boolean {
  const heading = /^# Scenarios? ([\d, ]+(?:(?:and|to) \d+)?)/.exec(text)?.[1] ?? "";
  const [first = 0, ...others] = (heading.match(/\d+/g) ?? []).map(Number);
  const last = others.at(-1) ?? first;
  return heading.includes("to")
    ? first <= scenario && scenario <= last
    : [first, ...others].includes(scenario);
}

function problemInRow(test: NamedTest, scenario: number): string | undefined {
  if (!test.path.startsWith(TRACES)) return problemOf(test);
  return problemOf(
    test,
    (text) =>
      isTraceOf(scenario, text)
        ? undefined
        : `${test.path} does not say that it is about scenario ${scenario}`,
  );
}

Deno.test("Reliability table: has every scenario once, each with what happens and what must hold", () => {
  deepStrictEqual(rows.map(({ number }) => number), Array.from({ length: SCENARIOS }, (_, i) => i + 1));
  for (const { number, event, invariants } of rows) {
    ok(event.length > 0, `${number} says what happens`);
    ok(INVARIANTS.test(invariants), `${number} names its invariants: ${invariants}`);
  }
});

Deno.test("Reliability table: every test that it names exists", () => {
  deepStrictEqual(
    rows.flatMap((row) =>
      row.tests.map((test) => problemInRow(test, row.number)).filter((problem) => problem)
    ),
    [],
  );
});

Deno.test("Reliability table: a row without a test says why", () => {
  const silent = rows.filter(({ tests, missing }) => tests.length === 0 && missing === "");
  deepStrictEqual(silent.map(({ number }) => number), []);
});

Deno.test("Reliability table: every trace stands in it", () => {
  const named = new Set(rows.flatMap(({ tests }) => tests.map(({ path }) => path)));
  const traces = [...Deno.readDirSync(new URL(TRACES, ROOT))].map(({ name }) => TRACES + name);
  deepStrictEqual(traces.filter((path) => !named.has(path)), []);
});
