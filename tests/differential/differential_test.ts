/** A short run of the comparison with Docker Swarm; `main.ts` runs long ones. */
import assert from "node:assert/strict";
import { withSides } from "../support/parity.ts";
import { NO_ENGINE } from "../support/test_engine.ts";
import { fuzz } from "./fuzz.ts";

/** So many fit into half a minute. */
const REQUESTS = 300;
const SEED = 1;

Deno.test({
  name: "Differential fuzz: generated requests are answered as Docker Swarm does",
  ignore: NO_ENGINE !== "" || Deno.uid() !== 0, // a reason is in the variable; a network namespace needs root
  fn: () =>
    withSides(async (sides) => {
      const { findings } = await fuzz(sides, { requests: REQUESTS, seed: SEED });
      assert.equal(findings.join("\n\n"), "");
    }),
});
