import assert from "node:assert/strict";
import { type LeaderComponent, Leadership } from "../../../manager/leader/leadership.ts";
import { FakeClock, settle } from "../../support/fake_clock.ts";

/** Three components that write down what becomes of them. */
function setUp() {
  const events: string[] = [], clock = new FakeClock();
  const component = (name: string) => (): LeaderComponent => ({
    name,
    start: () => void events.push(`start ${name}`),
    stop: () => void events.push(`stop ${name}`),
  });
  const leadership = new Leadership(["a", "b", "c"].map(component), clock);
  return { events, clock, leadership };
}

const leads = (term: number) => ({ isLeader: true, term });
const follows = (term: number) => ({ isLeader: false, term });

Deno.test("Leadership: what came meanwhile has its turn before the next component starts", async () => {
  const { events, clock, leadership } = setUp();
  const started = leadership.follow(leads(1));
  await settle();
  assert.deepEqual(events, ["start a"]);
  clock.setTimer(0, () => events.push("heartbeat"));
  await clock.advance(0);
  await started;
  assert.deepEqual(events, ["start a", "start b", "heartbeat", "start c"]);
});

Deno.test("Leadership: one that is lost while the components start stops those that have", async () => {
  const { events, clock, leadership } = setUp();
  void leadership.follow(leads(1));
  await settle();
  const lost = leadership.follow(follows(2));
  await clock.advance(0);
  await lost;
  assert.deepEqual(events, ["start a", "stop a"]);
});

Deno.test("Leadership: one that comes back at once starts every component", async () => {
  const { events, clock, leadership } = setUp();
  void leadership.follow(leads(1));
  await settle();
  void leadership.follow(follows(1));
  await clock.advance(0);
  const again = leadership.follow(leads(2));
  await clock.advance(0);
  await again;
  assert.deepEqual(events, ["start a", "stop a", "start a", "start b", "start c"]);
});

Deno.test("Leadership: another term makes every component anew, though nobody saw the time between", async () => {
  const { events, clock, leadership } = setUp();
  const first = leadership.follow(leads(1));
  await clock.advance(0);
  await first;
  events.length = 0;
  await leadership.follow(leads(1));
  assert.deepEqual(events, []);
  const second = leadership.follow(leads(3));
  await clock.advance(0);
  await second;
  assert.deepEqual(events, ["stop c", "stop b", "stop a", "start a", "start b", "start c"]);
});

Deno.test("Leadership: lost and back while a component still works on a write, it is made anew once that has ended", async () => {
  const events: string[] = [], clock = new FakeClock();
  const writes = Promise.withResolvers<void>();
  let made = 0;
  const leadership = new Leadership([() => {
    const nth = ++made;
    return {
      name: "component",
      start: () => void events.push(`start ${nth}`),
      stop: async () => {
        await writes.promise;
        events.push(`stop ${nth}`);
      },
    };
  }], clock);
  await Promise.all([leadership.follow(leads(1)), clock.advance(0)]);
  void leadership.follow(follows(2));
  const back = leadership.follow(leads(3));
  await settle();
  assert.deepEqual(events, ["start 1"]);
  writes.resolve();
  await clock.advance(0);
  await back;
  assert.deepEqual(events, ["start 1", "stop 1", "start 2"]);
  await leadership.follow(follows(4));
});

Deno.test("Leadership: a component that cannot start is made again after growing pauses, and holds up no other", async () => {
  const clock = new FakeClock(), since = clock.monotonic();
  const events: string[] = [];
  let broken = 2;
  const leadership = new Leadership([
    () => ({
      name: "odd",
      start: () => {
        events.push(`odd at ${clock.monotonic() - since}`);
        if (broken-- > 0) throw new Error("an odd node");
      },
      stop: () => {},
    }),
    () => ({ name: "plain", start: () => void events.push("plain"), stop: () => {} }),
  ], clock);
  const started = leadership.follow(leads(1));
  await clock.advance(0);
  await started;
  assert.deepEqual(events, ["odd at 0", "plain"]);
  await clock.advance(10_000);
  assert.deepEqual(events.slice(2), ["odd at 1000", "odd at 3000"]);
  await leadership.follow(follows(2));
});

Deno.test("Leadership: a component that waits for its start keeps no other from starting", async () => {
  const clock = new FakeClock(), events: string[] = [];
  const leadership = new Leadership([
    () => ({
      name: "slow",
      start: () => new Promise<void>(() => {}),
      stop: () => void events.push("stop slow"),
    }),
    () => ({ name: "next", start: () => void events.push("next"), stop: () => {} }),
  ], clock);
  const started = leadership.follow(leads(1));
  await clock.advance(0);
  await started;
  await leadership.follow(follows(2));
  assert.deepEqual(events, ["next", "stop slow"]);
});

Deno.test("Leadership: a component that does not stop is not waited for without end", async () => {
  const clock = new FakeClock();
  let starts = 0;
  const leadership = new Leadership([() => ({
    name: "stuck",
    start: () => void starts++,
    stop: () => new Promise<void>(() => {}),
  })], clock);
  await Promise.all([leadership.follow(leads(1)), clock.advance(0)]);
  void leadership.follow(leads(2));
  await clock.advance(9_000);
  assert.equal(starts, 1);
  await clock.advance(2_000);
  assert.equal(starts, 2);
});

Deno.test("Leadership: a component that failed to start is stopped with the others once leadership is lost", async () => {
  const events: string[] = [], clock = new FakeClock();
  const leadership = new Leadership([() => ({
    name: "lost",
    start: () => Promise.reject(new Error("lost")),
    stop: () => void events.push("stop"),
  })], clock);
  const started = leadership.follow(leads(1));
  await clock.advance(0);
  await started;
  await leadership.follow(follows(2));
  await clock.advance(60_000);
  assert.deepEqual(events, ["stop"]);
});
