import { checkKey, type KeyResult } from "./check_key.ts";
import type { Model, Operation } from "./operation.ts";

/** Enough for any history of working servers; only a search that explodes gets there. */
const MAX_STEPS_PER_KEY = 20_000_000;

/** The verdict on a whole history. */
export interface CheckResult<Input, Output, State> {
  verdict: "linearizable" | "violation" | "undecided";
  keys: number;
  steps: number;
  /** The keys that are not linearizable, or undecided. */
  problems: { key: string; history: Operation<Input, Output>[]; result: KeyResult<Input, Output, State> }[];
}

/** Checks each key by itself: a history is linearizable if each of its keys is (Herlihy and Wing's locality). */
export function checkLinearizability<Input, Output, State>(
  operations: readonly Operation<Input, Output>[],
  model: Model<Input, Output, State>,
  maxStepsPerKey = MAX_STEPS_PER_KEY,
): CheckResult<Input, Output, State> {
  const byKey = Map.groupBy(operations, ({ key }) => key);
  const total: CheckResult<Input, Output, State> = {
    verdict: "linearizable",
    keys: byKey.size,
    steps: 0,
    problems: [],
  };
  for (const [key, history] of byKey) {
    const result = checkKey(history, model, maxStepsPerKey);
    total.steps += result.steps;
    if (result.verdict === "linearizable") continue;
    total.problems.push({ key, history, result });
    if (total.verdict !== "violation") total.verdict = result.verdict;
  }
  return total;
}
