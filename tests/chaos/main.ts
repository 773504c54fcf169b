/**
 * `deno task chaos [--managers 3] [--minutes 5] [--clients 16] [--seed S]`: real managers, killed, paused and cut off while
 * clients write through all of them; then the verdict on what the clients saw. Ends with status 1 if anything is wrong, and
 * leaves the managers' state, their logs and the history then. Needs root, for network namespaces.
 */
import { commandLine } from "../support/command_line.ts";
import { type ChaosReport, runChaos } from "./chaos_run.ts";
import { describeReport, isGood } from "./report.ts";

const USAGE = "usage: deno task chaos [--managers 1|3|5|7] [--minutes 5] [--clients 16] [--seed S]";

/** What the tree was; a seed means little without it. */
function commit(): string {
  const { stdout } = new Deno.Command("git", {
    args: ["describe", "--always", "--dirty"],
    cwd: import.meta.dirname!,
  }).outputSync();
  return new TextDecoder().decode(stdout).trim();
}

/** Keeps the history next to the logs. */
async function save(folder: string, { operations }: ChaosReport): Promise<void> {
  const lines = operations.map((operation) => JSON.stringify(operation) + "\n");
  await Deno.writeTextFile(`${folder}/history.jsonl`, lines.join(""));
}

const { numbers, positionals } = commandLine(USAGE, {
  managers: 3,
  minutes: 5,
  clients: 16,
  seed: Math.floor(Math.random() * 1e6),
});
const { managers, minutes, clients, seed } = numbers;
if (![1, 3, 5, 7].includes(managers) || positionals.length > 0) {
  console.error(USAGE);
  Deno.exit(2);
}

const interrupted = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(name, () => interrupted.abort());
const folder = await Deno.makeTempDir({ prefix: "covey-chaos-" });
const started = performance.now();
const log = (line: string) =>
  console.log(`${((performance.now() - started) / 1000).toFixed(2).padStart(7)} s  ${line}`);
const what = `seed ${seed}, commit ${commit()}, ${managers} managers, ${clients} clients, ${minutes} min`;
console.log(what);
let good = false;
try {
  const durationMs = minutes * 60_000;
  const report = await runChaos({
    managers,
    clients,
    seed,
    durationMs,
    folder,
    log,
    signal: interrupted.signal,
  });
  good = isGood(report);
  console.log(describeReport(report));
  if (!good) await save(folder, report);
} catch (thrown) {
  console.error(thrown instanceof Error ? thrown.stack : thrown);
}
console.log(what);
if (good) await Deno.remove(folder, { recursive: true });
else console.log(`state, logs and history are kept in ${folder}`);
Deno.exit(good ? 0 : 1);
