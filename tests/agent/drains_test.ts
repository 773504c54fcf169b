import assert from "node:assert/strict";
import { type DrainCalls, Drains } from "../../agent/drains.ts";
import { MAX_LOAD_MS } from "../../api/dispatcher.ts";
import { CoveyError } from "../../api/errors.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";

const never = new AbortController().signal;

/** Drains of a node with a task that was told to stop and one that runs; what a manager hears of it. */
function node() {
  const clock = new FakeClock(), said: number[] = [], asked: string[] = [];
  const state = { loaded: Promise.withResolvers<void>(), answer: () => Promise.resolve(), refuses: 0 };
  const drains = new Drains({
    clock,
    loaded: () => state.loaded.promise,
    task: (id) => ({ DesiredState: id === "told" ? "shutdown" : "running" }),
  });
  const calls: DrainCalls = {
    sendLoaded: (index) => {
      if (state.refuses-- > 0) return Promise.reject(new CoveyError("resource_exhausted", "too many"));
      said.push(index);
      return Promise.resolve();
    },
    askDrained: (id) => {
      asked.push(id);
      return state.answer();
    },
  };
  return { clock, said, asked, state, drains, calls };
}

/** Whether it has come to an end. */
function watch(work: Promise<void>): { over: boolean; work: Promise<void> } {
  const watched = { over: false, work };
  watched.work = work.then(() => void (watched.over = true));
  return watched;
}

Deno.test("Drains of a node: a manager hears what is loaded when it is, of many the last, and again what it refused", async () => {
  const { clock, said, state, drains, calls } = node();
  state.refuses = 1;
  drains.connect(calls);
  for (const index of [5, 6, 7]) drains.acknowledge(index);
  await settle();
  assert.deepEqual(said, []);
  state.loaded.resolve();
  await settle();
  await clock.advance(1000);
  assert.deepEqual(said, [7]);
  drains.acknowledge(9);
  await settle();
  assert.deepEqual(said, [7, 9]);
});

Deno.test("Drains of a node: of an earlier session nothing is said in the next one", async () => {
  const { said, state, drains, calls } = node();
  drains.connect(calls);
  drains.acknowledge(5);
  drains.disconnect();
  drains.connect(calls);
  state.loaded.resolve();
  await settle();
  assert.deepEqual(said, []);
  drains.acknowledge(6);
  await settle();
  assert.deepEqual(said, [6]);
});

Deno.test("Drains of a node: a task that it stops by itself while no manager is in reach waits for nobody", async () => {
  const { asked, drains } = node();
  await drains.drained("own", never);
  assert.deepEqual(asked, []);
});

Deno.test("Drains of a node: a task that was told to stop waits for the manager's word, also of the next manager", async () => {
  const { clock, asked, state, drains, calls } = node();
  const first = Promise.withResolvers<void>(), second = Promise.withResolvers<void>();
  state.answer = () => first.promise;
  drains.connect(calls);
  const drained = watch(drains.drained("told", never));
  await clock.advance(3000);
  first.reject(new CoveyError("unavailable", "the leader is gone"));
  drains.disconnect();
  await clock.advance(2000);
  assert.ok(!drained.over);
  state.answer = () => second.promise;
  drains.connect(calls);
  await clock.advance(1000);
  assert.ok(!drained.over);
  second.resolve();
  await drained.work;
  assert.deepEqual(asked, ["told", "told"]);
});

Deno.test("Drains of a node: nothing holds up a task's end for more than what a manager waits for and 5 s", async () => {
  const { clock, state, drains, calls } = node();
  const away = watch(drains.drained("told", never));
  await clock.advance(MAX_LOAD_MS + 4999);
  assert.ok(!away.over);
  await clock.advance(1);
  await away.work;
  state.answer = () => Promise.reject(new CoveyError("unavailable", "no leader"));
  drains.connect(calls);
  const refused = watch(drains.drained("told", never));
  await clock.advance(MAX_LOAD_MS + 4999);
  assert.ok(!refused.over);
  await clock.advance(1);
  await refused.work;
});

Deno.test("Drains of a node: a manager that does not know of it holds nobody up, and who ends the wait hears it", async () => {
  const { state, drains, calls } = node();
  state.answer = () => Promise.reject(new CoveyError("unimplemented", "no such method"));
  drains.connect(calls);
  await drains.drained("told", never);
  state.answer = () => new Promise(() => {});
  drains.disconnect();
  const abort = new AbortController(), ended = drains.drained("told", abort.signal);
  abort.abort(new CoveyError("canceled", "the agent stops"));
  await assert.rejects(ended, /the agent stops/);
});
