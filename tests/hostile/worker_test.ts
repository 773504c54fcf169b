/** What a device that somebody has taken over can do with its certificate: nothing that others notice. */
import assert from "node:assert/strict";
import { materialOf } from "../support/node_material.ts";
import { joinToken } from "../support/one_manager.ts";
import { start } from "../support/programs.ts";
import { ALL_REFUSED, attempts, victimAt } from "./manager_calls.ts";
import { besiege, withTarget } from "./siege.ts";

const ATTACKS = ["pings", "unknown_calls", "junk_values", "junk_statuses", "relays", "sessions"];

Deno.test("Worker: its certificate makes no manager's call, and no flood of its calls ends or slows a manager", () =>
  withTarget(async (fleet, target) => {
    const folder = `${fleet.folder}/device`;
    const token = await joinToken(`${fleet.folder}/m1.sock`);
    const agent = start("agent", "--state-dir", folder, "--join", target.address, "--token", token);
    try {
      await agent.says(/is connected/);
      const victim = await victimAt(target.address, await materialOf(`${fleet.folder}/m1`));
      assert.deepEqual(await attempts(victim, await materialOf(folder)), ALL_REFUSED);
      for (const name of ATTACKS) {
        await besiege(name, { ...target, folder });
        assert.equal(await fleet.leader("m3"), "m1", `after ${name}`);
      }
    } finally {
      await agent.end();
    }
  }));
