/** Runs the seeds that it is sent, a {@linkcode Chunk}, and posts each one's outcome, then `done`. */
import { type Chunk, runSeed } from "./seed_run.ts";

const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<Chunk>) => void;
  postMessage(message: unknown): void;
};

scope.onmessage = async ({ data: { part, from, count, devices } }) => {
  for (let seed = from; seed < from + count; seed++) scope.postMessage(await runSeed(part, seed, devices));
  scope.postMessage("done");
};
