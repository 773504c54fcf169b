/**
 * `deno run tests/sim/raft/main.ts [--seed S] [--seeds N] [--minutes M]`: one seed, or N from S on, or as many as fit.
 * Prints the first seed that violates a property, with the commit, and ends with status 1.
 */

import { parseArgs } from "node:util";
import { Simulation } from "./simulation.ts";

/** What the tree was when the seed failed; a seed means nothing without it. */
function commit(): string {
  try {
    const { stdout } = new Deno.Command("git", { args: ["describe", "--always", "--dirty"] }).outputSync();
    return new TextDecoder().decode(stdout).trim();
  } catch {
    return "unknown";
  }
}

const { values } = parseArgs({
  options: { seed: { type: "string" }, seeds: { type: "string" }, minutes: { type: "string" } },
});
const first = Number(values.seed ?? 1);
const count = Number(values.seeds ?? (values.seed === undefined ? 10_000 : 1));
const deadline = performance.now() + Number(values.minutes ?? 1e6) * 60_000;
const started = performance.now();
const totals = { seeds: 0, virtualMs: 0, committed: 0, acknowledged: 0 };
for (let seed = first; seed < first + count && performance.now() < deadline; seed++) {
  try {
    const result = new Simulation(seed).run();
    totals.seeds++;
    totals.virtualMs += result.virtualMs;
    totals.committed += result.committed;
    totals.acknowledged += result.acknowledged;
  } catch (thrown) {
    console.error(`commit ${commit()}`);
    console.error(`seed ${seed}: ${thrown instanceof Error ? thrown.stack : thrown}`);
    Deno.exit(1);
  }
}
const seconds = ((performance.now() - started) / 1000).toFixed(1);
const hours = (totals.virtualMs / 3_600_000).toFixed(2);
console.log(
  `${totals.seeds} seeds from ${first}, ${hours} simulated hours in ${seconds} s, ` +
    `${totals.committed} entries committed, ${totals.acknowledged} acknowledged: no violation`,
);
