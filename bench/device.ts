/**
 * What an agent takes from its device (Linux, root): with ten process tasks while nothing happens, beside an idle engine;
 * in memory after so many tasks were started and stopped; the same with real programs.
 *
 *   deno task bench device [idle [SECONDS=60]]
 *   deno task bench device starts [COUNT=2000 [SECONDS=900]]
 *   deno task bench device processes [COUNT=500 [SECONDS=900]]
 *
 * SECONDS: no sooner than that after its start an agent that has grown is renewed.
 */
import { measureChurn } from "./device/churn.ts";
import { measureIdle } from "./device/idle.ts";
import { INSTANT } from "../tests/support/instant_executor.ts";

const [what = "idle", amount, renewAfter = 900] = Deno.args;
if (what === "idle") await measureIdle(Number(amount ?? 60));
else if (what === "starts") await measureChurn(INSTANT, Number(amount ?? 2000), Number(renewAfter));
else if (what === "processes") await measureChurn("process", Number(amount ?? 500), Number(renewAfter));
else {
  console.error(`Cannot measure ${what}: there are idle, starts and processes`);
  Deno.exit(2);
}
