/** Runs the seeds that it is sent, `{ part, from, count }`, and posts each one's outcome, then `done`. */
import { type Part, runSeed } from "./seed_run.ts";

const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<{ part: Part; from: number; count: number }>) => void;
  postMessage(message: unknown): void;
};

scope.onmessage = async ({ data: { part, from, count } }) => {
  for (let seed = from; seed < from + count; seed++) scope.postMessage(await runSeed(part, seed));
  scope.postMessage("done");
};
