import assert from "node:assert/strict";
import { type LeaderComponent, Leadership } from "../../../manager/server/leader_components.ts";
import { FakeClock, settle } from "../../support/fake_clock.ts";

/** Three components that write down what becomes of them. */
function setUp() {
  const events: string[] = [], clock = new FakeClock();
  const component = (name: string): LeaderComponent => ({
    start: () => void events.push(`start ${name}`),
    stop: () => void events.push(`stop ${name}`),
  });
  const leadership = new Leadership(() => ["a", "b", "c"].map(component), clock);
  return { events, clock, leadership };
}

Deno.test("Leadership: what came meanwhile has its turn before the next component starts", async () => {
  const { events, clock, leadership } = setUp();
  const started = leadership.set(true);
  await settle();
  assert.deepEqual(events, ["start a"]);
  clock.setTimer(0, () => events.push("heartbeat"));
  await clock.advance(0);
  await started;
  assert.deepEqual(events, ["start a", "start b", "heartbeat", "start c"]);
});

Deno.test("Leadership: one that is lost while the components start stops those that have", async () => {
  const { events, clock, leadership } = setUp();
  void leadership.set(true);
  await settle();
  const lost = leadership.set(false);
  await clock.advance(0);
  await lost;
  assert.deepEqual(events, ["start a", "stop a"]);
});

Deno.test("Leadership: one that comes back at once starts every component", async () => {
  const { events, clock, leadership } = setUp();
  void leadership.set(true);
  await settle();
  void leadership.set(false);
  await clock.advance(0);
  const again = leadership.set(true);
  await clock.advance(0);
  await again;
  assert.deepEqual(events, ["start a", "stop a", "start a", "start b", "start c"]);
});

Deno.test("Leadership: a component that cannot start is stopped with the others once leadership is lost", async () => {
  const events: string[] = [];
  const leadership = new Leadership(() => [{
    start: () => Promise.reject(new Error("lost")),
    stop: () => void events.push("stop"),
  }], new FakeClock());
  await leadership.set(true);
  await leadership.set(false);
  assert.deepEqual(events, ["stop"]);
});
