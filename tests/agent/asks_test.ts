/** What an agent sends of its tasks' logs: every executor's the same way, once, however often the session breaks. */
import assert from "node:assert/strict";
import { noStreams } from "../support/no_streams.ts";
import { Asks } from "../../agent/asks.ts";
import type { SendLogs } from "../../agent/log_answer.ts";
import { type LogAsk, MAX_PUSH_BYTES } from "../../api/logs.ts";
import { CoveyError } from "../../api/errors.ts";
import type { Executor } from "../../executors/executor.ts";
import { createMockExecutor } from "../../executors/mock/mock_executor.ts";
import { MockWorld } from "../../executors/mock/mock_world.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { seededRandom } from "../manager/dispatcher/harness.ts";

type Push = Parameters<SendLogs>[0];

/** Tasks `a` and `b` on a mock device, and what arrives of their logs. */
class Device {
  readonly clock = new FakeClock();
  readonly world = new MockWorld(this.clock);
  readonly tasks = new Map<string, { executor: Executor | undefined; over: boolean }>();
  readonly asks: Asks;
  readonly pushes: Push[] = [];
  readonly #watchers = new Map<string, Set<() => void>>();
  /** Answers a push; may hold it, or fail. */
  answer: SendLogs = () => Promise.resolve({});

  constructor() {
    const executor = createMockExecutor(this.world);
    for (const id of ["a", "b"]) {
      this.world.create(id).started = true;
      this.tasks.set(id, { executor, over: false });
    }
    this.asks = new Asks({ clock: this.clock, random: seededRandom(), tasks: this });
  }

  access(id: string) {
    const task = this.tasks.get(id);
    return task && { ...task, task: noStreams, handle: { version: 1, data: { TaskID: id } } };
  }

  watch(id: string, wake: () => void): () => void {
    const watchers = this.#watchers.get(id) ?? new Set();
    this.#watchers.set(id, watchers.add(wake));
    return () => void watchers.delete(wake);
  }

  changed(id: string): void {
    for (const wake of this.#watchers.get(id) ?? []) wake();
  }

  connect(): void {
    this.asks.connect(async (push) => {
      const answer = await this.answer(push);
      this.pushes.push(push);
      return answer;
    }, noStreams);
  }

  async ask(ask: Partial<LogAsk> = {}): Promise<void> {
    this.asks.apply([{
      Kind: "logs",
      ID: "ask1",
      TaskIDs: ["a", "b"],
      Follow: true,
      Streams: ["stdout", "stderr"],
      ...ask,
    }]);
    await settle();
  }

  get texts(): string[] {
    const entries = this.pushes.flatMap(({ Entries = [] }) => Entries);
    return entries.map(({ TaskID, Data }) => `${TaskID}: ${new TextDecoder().decode(Data).trimEnd()}`);
  }
}

Deno.test("Asks: sends what is there in order, then what comes, and says when it has caught up", async () => {
  const device = new Device();
  device.world.print("a", "one");
  await device.clock.advance(1);
  device.world.print("b", "two", "stderr");
  device.connect();
  assert.equal(device.asks.isIdle, true);
  await device.ask();
  assert.equal(device.asks.isIdle, false, "somebody follows");
  assert.deepEqual(device.texts, ["a: one", "b: two"]);
  assert.deepEqual(device.pushes.map(({ CaughtUp }) => CaughtUp).filter(Boolean), [true]);
  device.world.print("a", "three");
  await settle();
  assert.deepEqual(device.texts.slice(2), ["a: three"]);
  assert.deepEqual(device.pushes.map(({ Seq }) => Seq), device.pushes.map((_, i) => i + 1));
  await device.ask({ TaskIDs: ["b"] });
  device.world.print("a", "nobody hears it");
  device.world.print("b", "four");
  await settle();
  assert.deepEqual(device.texts.slice(3), ["b: four"]);
  device.asks.apply([]);
  device.world.print("b", "nor this");
  await settle();
  assert.equal(device.texts.length, 4);
  assert.equal(device.asks.isIdle, true);
  await device.asks.stop();
  assert.equal(device.clock.pending, 0);
});

Deno.test("Asks: without following, it ends with what was there, and names a log that cannot be read", async () => {
  const device = new Device();
  for (const text of ["one", "two", "three"]) device.world.print("a", text);
  device.tasks.set("b", { executor: undefined, over: false });
  device.connect();
  await device.ask({ Follow: false, Tail: 2 });
  assert.deepEqual(device.texts, ["a: two", "a: three"]);
  const { Done, Errors } = device.pushes.at(-1)!;
  assert.equal(Done, true);
  const errors = device.pushes.flatMap(({ Errors = [] }) => Errors);
  assert.deepEqual(errors, ["task b: the executor of the task has no logs to show"], String(Errors));
  await device.asks.stop();
});

Deno.test("Asks: what was not acknowledged is sent again in the next session, with its number", async () => {
  const device = new Device();
  const seen: string[] = [];
  device.answer = (push) => {
    seen.push(`${push.Run} ${push.Seq}`);
    return Promise.reject(new CoveyError("unavailable", "Cannot go on: the connection broke"));
  };
  device.connect();
  device.world.print("a", "one");
  await device.ask();
  assert.equal(device.pushes.length, 0);
  device.asks.disconnect();
  device.world.print("a", "while it was away");
  await device.clock.advance(60_000);
  assert.equal(new Set(seen).size, 1);
  device.answer = (push) => {
    seen.push(`${push.Run} ${push.Seq}`);
    return Promise.resolve({});
  };
  device.connect();
  await device.ask();
  assert.equal(seen[0], seen[1]);
  assert.deepEqual(device.texts, ["a: one", "a: while it was away"]);
  // A link that does not come back ends it.
  device.asks.disconnect();
  await device.clock.advance(11 * 60_000);
  device.connect();
  device.world.print("a", "too late");
  await settle();
  assert.equal(device.texts.length, 2);
  await device.asks.stop();
});

Deno.test("Asks: an agent that was started anew sends only what comes after", async () => {
  const device = new Device();
  device.world.print("a", "one");
  const After = device.world.programs.get("a")!.lines[0]!.Time;
  await device.clock.advance(1);
  device.world.print("a", "two");
  device.connect();
  await device.ask({ After });
  assert.deepEqual(device.texts, ["a: two"]);
  await device.asks.stop();
});

Deno.test("Asks: nobody reads on while the manager has no room, and one push holds little", async () => {
  const device = new Device();
  const room = Promise.withResolvers<void>();
  const sizes: number[] = [];
  device.answer = async ({ Entries = [] }) => {
    sizes.push(Entries.reduce((sum, { Data }) => sum + Data.length, 0));
    await room.promise;
    return {};
  };
  for (let i = 0; i < 2000; i++) device.world.print("a", "x".repeat(1000));
  device.connect();
  await device.ask();
  await settle(50);
  assert.equal(sizes.length, 1, "one at a time");
  room.resolve();
  await settle(300);
  assert.ok(sizes.every((size) => size <= MAX_PUSH_BYTES));
  assert.equal(device.texts.length, 2000);
  await device.asks.stop();
});

Deno.test("Asks: a refusal for good ends the answer, and a later kind of ask is passed over", async () => {
  const device = new Device();
  let calls = 0;
  device.answer = () => {
    calls++;
    return Promise.reject(new CoveyError("permission_denied", "Cannot take logs: no"));
  };
  device.world.print("a", "one");
  device.connect();
  await device.ask();
  device.world.print("a", "two");
  await device.clock.advance(60_000);
  assert.equal(calls, 1);
  device.asks.apply([{ Kind: "dreams", ID: "x" } as never]);
  await device.asks.stop();
});

Deno.test("Asks: goes on with a task that is run again in its place", async () => {
  const device = new Device();
  device.world.print("a", "first run");
  device.connect();
  await device.ask({ TaskIDs: ["a"] });
  device.world.end("a", { ExitCode: 1 });
  await settle();
  await device.clock.advance(1000);
  device.world.create("a").started = true;
  device.world.print("a", "second run");
  device.changed("a");
  await settle();
  assert.deepEqual(device.texts, ["a: first run", "a: second run"]);
  await device.asks.stop();
});
