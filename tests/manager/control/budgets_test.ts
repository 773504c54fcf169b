import assert from "node:assert/strict";
import type { CoveyError } from "../../../api/errors.ts";
import { parseServiceSpec } from "../../../api/validate/mod.ts";
import { createService } from "../../../manager/control/services.ts";
import { Fleet } from "../orchestrator/harness.ts";

Deno.test("Budget: one under which groups could never be updated is refused, with each such group", async () => {
  const fleet = new Fleet();
  await using _ = fleet;
  for (const [name, site] of [["a", "berlin"], ["b", "oslo"], ["c", "oslo"], ["d", ""]] as const) {
    await fleet.node(name, { labels: site === "" ? {} : { site, region: "north" } });
  }
  const create = (budgets: string) =>
    createService(
      fleet.store,
      fleet,
      parseServiceSpec({
        Name: "probe",
        Mode: { Global: {} },
        Labels: { "covey.rollout.budgets": budgets },
        TaskTemplate: { Runtime: "process", ProcessSpec: { Command: "/bin/true" } },
      }),
    );
  const problems = await create("node.labels.region=50%, node.labels.site=40%").then(
    () => [],
    (thrown: CoveyError) => thrown.problems!.map(({ field, message }) => `${field}: ${message}`),
  );
  const at = "UpdateConfig.Rollout.Budgets[1]", end = "is none, so that they could never be updated";
  assert.deepEqual(problems, [
    `${at}: 40 % of the one device of node.labels.site=berlin ${end}`,
    `${at}: 40 % of the 2 devices of node.labels.site=oslo ${end}`,
  ]);
  await create("node.labels.region=50%, node.labels.site=1");
});
