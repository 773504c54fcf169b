/** Managers without agents: they are shown by their names, and as what they are. */
import assert from "node:assert/strict";
import { withManagers } from "../support/manager_fleet.ts";

Deno.test("Manager without an agent: leader and follower are shown by their host names, and run nothing", () =>
  withManagers({}, async (fleet) => {
    await fleet.start("m1");
    await fleet.start("m2", { through: "m1" });
    await fleet.until("both have told of themselves", async () => {
      const nodes = await fleet.nodes("m1") ?? [];
      return nodes.length === 2 && nodes.every(({ Description }) => Description?.Hostname);
    });
    const nodes = await fleet.nodes("m1") ?? [];
    assert.deepEqual(nodes.map(({ Description }) => Description!.Hostname).sort(), ["m1", "m2"]);
    for (const { Status, Description, ManagerStatus } of nodes) {
      assert.notEqual(Status.State, "ready");
      assert.match(Status.Message!, /a manager without an agent/);
      assert.deepEqual([Description!.Runtimes, ManagerStatus!.Reachability], [[], "reachable"]);
    }
  }));
