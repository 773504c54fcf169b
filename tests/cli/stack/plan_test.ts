import assert from "node:assert/strict";
import { planStack, type Present } from "../../../cli/stack/plan.ts";
import { PREDEFINED_NETWORKS } from "../../../api/predefined_network.ts";
import { stackOf } from "../compose/compose.ts";

Deno.test("Stack plan: a network of the engine beside is the one that the cluster shows by an ID of its own", async () => {
  for (const { ID, Name } of PREDEFINED_NETWORKS) {
    const stack = await stackOf(
      `services: {web: {image: busybox, networks: [outside]}}
networks: {outside: {external: true, name: ${Name}}}`,
    );
    const { spec } = stack.services[0]!;
    const shown = structuredClone(spec);
    shown.TaskTemplate.Networks![0]!.Target = ID;
    const Version = { Index: 1 };
    const present: Present = {
      services: [{ ID: "s", Version, SpecVersion: Version, CreatedAt: "", UpdatedAt: "", Spec: shown }],
      secrets: [],
      configs: [],
      networks: [{ Id: "ab".repeat(32), Name }],
    };
    const [change, ...more] = planStack({ stack, secrets: [], configs: [] }, present, false);
    assert.deepEqual([change?.action, change?.differences, more], ["keep", [], []], Name);
  }
});
