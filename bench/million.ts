/**
 * A million tasks on 5,000 nodes: created from services, scheduled, assigned and reported running, through the production
 * store, the leader's components and its dispatcher. The agents are simulated in the same process; what they report goes
 * through the agent's own reporter. Prints how far all tasks are, and the memory, every few seconds.
 *
 *     deno task bench million [TASKS=1000000] [NODES=5000] [--disk FOLDER]
 *
 * With `--disk`, consensus is the production one, a group of one member with its log and checkpoints in that folder.
 */
import { fileURLToPath } from "node:url";

/** Of the process that does it: what the engine may take for objects, so that the whole stays below 4 GiB. */
const MAX_HEAP_MIB = 3500;

const program = fileURLToPath(new URL("./million/run.ts", import.meta.url));
const flags = [`--v8-flags=--max-old-space-size=${MAX_HEAP_MIB}`];
const run = new Deno.Command(Deno.execPath(), {
  args: ["run", "-A", "--unstable-kv", ...flags, program, ...Deno.args],
});
Deno.exit((await run.spawn().status).code);
