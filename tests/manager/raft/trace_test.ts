/**
 * Replays the traces under `testdata/`. `RAFT_TRACE_UPDATE=1 deno test -A tests/manager/raft/trace_test.ts` (or `-- --update`)
 * records what happens now; the difference is to be reviewed like code.
 */

import assert from "node:assert/strict";
import { runTrace } from "./support/trace.ts";

const FOLDER = new URL("./testdata/", import.meta.url);
const update = Deno.env.get("RAFT_TRACE_UPDATE") === "1" || Deno.args.includes("--update");

for (const { name } of [...Deno.readDirSync(FOLDER)].sort((a, b) => a.name < b.name ? -1 : 1)) {
  const url = new URL(name, FOLDER);
  Deno.test(`Trace: ${name}`, () => {
    const recorded = Deno.readTextFileSync(url);
    assert.ok(recorded.startsWith("# "), "a trace opens with why it exists");
    const actual = runTrace(recorded);
    if (update) Deno.writeTextFileSync(url, actual);
    else assert.equal(actual, recorded);
  });
}
