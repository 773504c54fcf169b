/**
 * Runs the seeds that it is sent, a {@linkcode Chunk}, and posts each one's outcome, then `done`; meanwhile the simulated time,
 * a number, where that goes on.
 */
import { type Chunk, runSeed } from "./seed_run.ts";

const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<Chunk>) => void;
  postMessage(message: unknown): void;
};

scope.onmessage = async ({ data: { part, from, count, devices } }) => {
  const goesOn = (nowMs: number) => scope.postMessage(nowMs);
  for (let seed = from; seed < from + count; seed++) {
    scope.postMessage(await runSeed(part, seed, devices, goesOn));
  }
  scope.postMessage("done");
};
