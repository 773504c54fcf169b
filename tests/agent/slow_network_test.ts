/** A device far away from its managers, or with a clock far from theirs. */
import assert from "node:assert/strict";
import { ownIdentity } from "../../agent/identity.ts";
import { Patience } from "../../agent/patience.ts";
import { setLogSink } from "../../api/log.ts";
import { systemClock } from "../../api/clock.ts";
import { systemRandom } from "../../api/random.ts";
import { ClockFloor } from "../../security/clock_floor.ts";
import { inFolder } from "../support/programs.ts";
import { Cluster } from "./support/cluster.ts";
import { RealManager } from "./support/real_manager.ts";

Deno.test("Agent: with round trips of 6 s it connects, stays ready and runs its task; with short ones it is as quick as before", async () => {
  const c = await Cluster.start();
  c.roundTripMs = 6000;
  await c.startAgent();
  await c.assign("a");
  await c.clock.advance(300_000);
  assert.equal(c.agent.state, "connected");
  assert.equal(c.store.get("nodes", "n1")!.Status.State, "ready");
  assert.equal(c.status("a").State, "running");
  const dials = c.dials.length;
  for (let minute = 0; minute < 10; minute++) {
    await c.clock.advance(60_000);
    assert.equal(c.store.get("nodes", "n1")!.Status.State, "ready");
  }
  assert.equal(c.dials.length, dials, "one session all the while");
  await c.stop();
});

Deno.test("Patience: is bounded, grows with what answers take and when it runs out, and shrinks again", () => {
  const patience = new Patience();
  assert.equal(patience.ms, 5000);
  patience.ranOut();
  assert.equal(patience.ms, 10_000);
  for (let i = 0; i < 9; i++) patience.ranOut();
  assert.equal(patience.ms, 40_000);
  patience.took(6000);
  assert.equal(patience.ms, 24_000);
  for (let i = 0; i < 9; i++) patience.took(20);
  assert.equal(patience.ms, 5000);
});

Deno.test("Join: a device twenty years ahead waits, asks whether its clock is right, and joins once it is set", () =>
  inFolder(async (folder) => {
    const manager = await RealManager.start(), abort = new AbortController();
    let aheadMs = 20 * 365.25 * 86_400_000;
    const clock = new ClockFloor({
      clock: { ...systemClock, now: () => systemClock.now() + aheadMs },
    });
    const said = Promise.withResolvers<string>();
    setLogSink((record) => said.resolve(JSON.stringify(record)));
    const joining = ownIdentity({
      clock,
      random: systemRandom,
      folder,
      managers: () => [manager.address],
      signal: abort.signal,
      token: manager.token,
    });
    joining.catch((error) => said.reject(error));
    assert.match(await said.promise, /Cannot join yet.*is the clock of this device right/);
    aheadMs = 0;
    const identity = await joining;
    assert.equal(manager.store.get("nodes", identity.nodeID)?.ID, identity.nodeID);
    identity.stop();
    setLogSink(() => {});
    await manager.stop();
  }));
