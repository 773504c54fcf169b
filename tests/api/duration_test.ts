import assert from "node:assert/strict";
import { inWords } from "../../api/duration.ts";

Deno.test("Duration: is said as people say it, never to the nanosecond", () => {
  const cases = [[0.4, "0 ms"], [850, "850 ms"], [9313.301724614576, "9 s"], [840_000, "14 min"], [
    6 * 3_600_000,
    "6 h",
  ], [72 * 3_600_000, "3 days"]] as const;
  for (const [ms, words] of cases) assert.equal(inWords(ms), words);
});
