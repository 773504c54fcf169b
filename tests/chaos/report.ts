import { explain } from "../support/linearizability/mod.ts";
import type { ChaosReport, Gap } from "./chaos_run.ts";
import { registerModel } from "./register.ts";

/** Lines of a history that are printed of each key that is not linearizable. */
const MAX_HISTORY_LINES = 80;
const MAX_REASON_LENGTH = 160;

/** True if the run showed nothing wrong. */
export function isGood({ check, problems }: ChaosReport): boolean {
  return check.verdict === "linearizable" && problems.length === 0;
}

/** The report as text. */
export function describeReport(report: ChaosReport): string {
  const { operations, reasons, faults, leaderChanges, gaps, problems, check } = report;
  const count = (outcome: string) => operations.filter((operation) => operation.outcome === outcome).length;
  const frequent = [...reasons].sort(([, a], [, b]) => b - a);
  const kinds = Object.entries(Object.groupBy(faults, ({ kind }) => kind));
  return [
    `operations: ${operations.length} on ${check.keys} keys, ${count("ok")} ok, ` +
    `${count("failed")} failed, ${count("unknown")} unknown`,
    ...frequent.map(([reason, times]) => `  ${times} times ${reason.slice(0, MAX_REASON_LENGTH)}`),
    `faults: ${kinds.map(([kind, done]) => `${done?.length} ${kind}`).join(", ")}`,
    `leader changes seen: ${leaderChanges}; longest time without a write for each kind of fault:`,
    ...gaps.map((gap) => `  ${describeGap(gap)}`),
    ...problems.map((problem) => `PROBLEM: ${problem}`),
    ...check.problems.map(({ key, history, result }) =>
      explain(key, history, result, registerModel, MAX_HISTORY_LINES)
    ),
    `verdict: ${check.verdict}, ${check.steps} steps${isGood(report) ? "" : "; NOT GOOD"}`,
  ].join("\n");
}

function describeGap({ durationMs, fault }: Gap): string {
  const led = fault?.victims.map((victim) => victim === fault.leader ? `${victim} (leader)` : victim) ?? [];
  return `${(durationMs / 1000).toFixed(2)} s: ${fault?.kind ?? "no fault"} ${led.join(" ")}`;
}
