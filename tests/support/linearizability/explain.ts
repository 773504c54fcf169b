import type { KeyResult } from "./check_key.ts";
import type { Model, Operation } from "./operation.ts";

/**
 * A key's history in time order, one line an operation: times in ms, client, what it was, and its place in the longest
 * order that could be built. The last lines say where that order ends. A long history is cut to `maxLines` around there.
 */
export function explain<Input, Output, State>(
  key: string,
  history: readonly Operation<Input, Output>[],
  { verdict, longest, stuckAt, steps }: KeyResult<Input, Output, State>,
  model: Model<Input, Output, State>,
  maxLines = Infinity,
): string {
  const place = new Map(longest.map(({ operation }, index) => [operation, index + 1]));
  const sorted = [...history].sort((a, b) => a.start - b.start);
  const at = stuckAt === undefined ? sorted.length : sorted.indexOf(stuckAt);
  const from = Math.max(0, Math.min(at - Math.floor(maxLines / 2), sorted.length - maxLines));
  const shown = sorted.slice(from, from + maxLines);
  const lines = shown.map((operation) => {
    const mark = operation === stuckAt ? "stuck" : place.has(operation) ? `#${place.get(operation)}` : "";
    return `${mark.padStart(7)} ${line(operation, model)}`;
  });
  const state = longest.at(-1)?.state ?? model.initial;
  return [
    `${key}: ${verdict} after ${steps} steps; ${shown.length} of ${history.length} operations:`,
    ...lines,
    `The longest order has ${longest.length} operations and ends in state ${model.fingerprint(state)}`,
    ...(stuckAt ? [`What fits nowhere after it: ${line(stuckAt, model)}`] : []),
  ].join("\n");
}

function line<Input, Output>(
  { start, end, client, outcome, input, output }: Operation<Input, Output>,
  model: Pick<Model<Input, Output, unknown>, "describe">,
): string {
  const what = model.describe(input, output);
  return `[${start.toFixed(3)} .. ${end.toFixed(3)}] client ${client}: ${what}` +
    (outcome === "ok" ? "" : ` (${outcome})`);
}
