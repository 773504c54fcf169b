/**
 * Compares Docker Swarm's answers with ours, for as many requests as asked:
 *
 *     COVEY_TEST_DOCKER=DIR/docker.sock deno run -A --unstable-kv tests/differential/main.ts --requests 5000 --seed 1
 *
 * With `--explained` it ends with what each exemption has let pass.
 */
import { parseArgs } from "node:util";
import { withSides } from "../support/parity.ts";
import { fuzz } from "./fuzz.ts";

const { values } = parseArgs({
  options: {
    requests: { type: "string", default: "5000" },
    seed: { type: "string", default: "1" },
    explained: { type: "boolean", default: false },
  },
});
const options = { requests: Number(values.requests), seed: Number(values.seed) };
if (!Number.isInteger(options.requests) || !Number.isInteger(options.seed)) {
  console.error("usage: main.ts [--requests N] [--seed N] [--explained]");
  Deno.exit(2);
}
let failed = false;
await withSides(async (sides) => {
  const { requests, findings, explained } = await fuzz(
    sides,
    options,
    (finding) => console.log(`${finding}\n`),
  );
  if (values.explained) {
    for (const [reason, kinds] of explained) {
      console.log(`${reason}:\n${[...kinds].map((kind) => `  ${kind}`).join("\n")}`);
    }
  }
  console.log(`${requests} requests, ${findings.length} unexplained differences`);
  failed = findings.length > 0;
});
Deno.exit(failed ? 1 : 0);
