/** Where the two sides differ on purpose, each with its reason. Nothing else is exempt. */
import type { Divergence } from "./answers.ts";
import type { Exchange } from "./play.ts";

interface Difference {
  reason: string;
  explains(exchange: Exchange, divergence: Divergence): boolean;
}

export const DIFFERENCES: readonly Difference[] = [
  {
    reason: "not there yet, and refused by name",
    explains: ({ covey, step }) =>
      step.method === "POST" && covey.status === 501 && /not available yet/.test(covey.text),
  },
];

/** Whether a divergence is on the list. */
export function explains(exchange: Exchange, divergence: Divergence): boolean {
  return DIFFERENCES.some((each) => each.explains(exchange, divergence));
}
