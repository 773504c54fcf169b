import { ok } from "node:assert/strict";
import { runChaos } from "./chaos_run.ts";
import { canMakeNetworks } from "./private_network.ts";
import { describeReport, isGood } from "./report.ts";

const SEED = 20;
const DURATION_MS = 20_000;

for (const managers of [1, 3]) {
  Deno.test({
    name: `Chaos: ${managers} manager(s) under kills, pauses and cuts act as one`,
    ignore: !canMakeNetworks(), // reason: network namespaces take root, ip and iptables
    async fn() {
      const folder = await Deno.makeTempDir({ prefix: "covey-chaos-" });
      const lines: string[] = [];
      const report = await runChaos({
        managers,
        clients: 8,
        seed: SEED,
        durationMs: DURATION_MS,
        folder,
        log: (line) => lines.push(line),
        signal: new AbortController().signal,
      });
      const acknowledged = report.operations.filter(({ outcome }) => outcome === "ok").length;
      ok(isGood(report), [...lines, describeReport(report), `state is kept in ${folder}`].join("\n"));
      ok(acknowledged > 100, describeReport(report));
      await Deno.remove(folder, { recursive: true });
    },
  });
}
