import assert from "node:assert/strict";
import { AgentProcess } from "../../../manager/process/agent_process.ts";
import { FakeClock, settle } from "../../support/fake_clock.ts";

Deno.test("Agent process: a launcher that cannot be run is tried again, and ends nothing else", async () => {
  const clock = new FakeClock();
  let tries = 0;
  const options = {
    get launcher() {
      tries++;
      return "/nowhere/covey-agent";
    },
    args: [],
    env: {},
    clock,
  };
  const agent = new AgentProcess(options);
  agent.start();
  await settle();
  const first = tries;
  assert.ok(first > 0);
  await clock.advance(500);
  await settle();
  assert.ok(tries > first);
  await agent.stop({ leave: false });
});
