/** Streams into tasks where neither the client nor the device is connected to the leader. */
import assert from "node:assert/strict";
import { DISPATCHER_METHODS, type SessionMessage } from "../../../api/dispatcher.ts";
import { type FromTask, outputFrames, readOutput } from "../../../api/stream_frames.ts";
import {
  MAX_STREAM_PIECE_BYTES,
  MAX_STREAMS_PER_NODE,
  STREAM_OPEN_MS,
  type StreamAsk,
} from "../../../api/streams.ts";
import { LINGER_MS } from "../../../manager/forward/leader_connections.ts";
import { ADMINISTRATOR, type Caller } from "../../../manager/control/caller.ts";
import type { Connection } from "../../../transport/mod.ts";
import { settle } from "../../support/fake_clock.ts";
import { identityOf, until } from "../../support/transport.ts";
import { DESCRIPTION, testTask } from "../dispatcher/harness.ts";
import { type Quorum, type TestManager, withQuorum } from "./quorum.ts";

const encoder = new TextEncoder(), decoder = new TextDecoder();
const EXEC = { Kind: "exec", Command: ["sh", "-c", "ls"] };

/** An agent's connection. */
class Device {
  readonly seen: SessionMessage[] = [];
  readonly connection: Connection;

  constructor(connection: Connection, Answers = ["logs", "stream"]) {
    this.connection = connection;
    void (async () => {
      const request = { Description: DESCRIPTION, Answers };
      const messages = connection.serverStream<SessionMessage>(DISPATCHER_METHODS.session, request);
      for await (const message of messages) this.seen.push(message);
    })().catch(() => {});
  }

  get asks(): StreamAsk[] {
    return (this.seen.at(-1)?.Asks ?? []) as StreamAsk[];
  }

  async beat(): Promise<void> {
    await this.connection.call(DISPATCHER_METHODS.heartbeat, { SessionID: this.seen.at(-1)!.SessionID });
  }

  /** Makes the call that the newest ask is for. */
  async join(toManager: AsyncIterable<unknown>, ask?: StreamAsk): Promise<AsyncIterator<unknown>> {
    await until(() => this.asks.length > 0 || ask !== undefined);
    const { ID } = ask ?? this.asks.at(-1)!;
    const request = { SessionID: this.seen.at(-1)!.SessionID, StreamID: ID };
    return this.connection.duplex(DISPATCHER_METHODS.stream, request, toManager)[Symbol.asyncIterator]();
  }
}

async function withDevice(
  test: (device: Device, quorum: Quorum) => Promise<void>,
  Answers?: string[],
): Promise<void> {
  await withQuorum(async (quorum) => {
    await quorum.managers.m1!.store.update((tx) =>
      tx.create("tasks", testTask("t1", "w1", { State: "running" }))
    );
    const device = new Device(await quorum.dial("m2", identityOf("w1")), Answers);
    await until(() => device.seen.length > 0);
    await test(device, quorum);
  });
}

/** Items that are given one by one. */
class Given implements AsyncIterableIterator<Uint8Array> {
  taken = 0;
  left = false;
  readonly #items: unknown[] = [];
  #wake = Promise.withResolvers<void>();
  #over = false;

  give(...items: unknown[]): void {
    this.#items.push(...items);
    this.#wake.resolve();
  }

  end(): void {
    this.#over = true;
    this.#wake.resolve();
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    while (this.#items.length === 0 && !this.#over && !this.left) {
      this.#wake = Promise.withResolvers();
      await this.#wake.promise;
    }
    if (this.#items.length === 0) return { done: true, value: undefined };
    this.taken++;
    return { done: false, value: this.#items.shift() as Uint8Array };
  }

  return(): Promise<IteratorResult<Uint8Array>> {
    this.left = true;
    this.#wake.resolve();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

function open(
  manager: TestManager,
  { use = EXEC, from = new Given(), caller = ADMINISTRATOR, left = new AbortController() }: {
    use?: unknown;
    from?: AsyncIterator<Uint8Array>;
    caller?: Caller;
    left?: AbortController;
  } = {},
) {
  return manager.api.openStream(
    { target: "/v1.51/tasks/t1/stream", body: JSON.stringify(use), caller },
    from,
    left.signal,
  );
}

Deno.test("Task stream: what a client at one follower says reaches a device at another one, and back, until the device ends it", () =>
  withDevice(async (device, { managers: { m1, m3 } }) => {
    const from = new Given(), toManager = new Given(), events: string[] = [];
    const response = await m1!.api.fetch(new Request("http://docker/events"), ADMINISTRATOR);
    const reader = response.body!.getReader();
    void reader.read().then(({ value }) => value && events.push(decoder.decode(value)));
    const opening = open(m3!, { from });
    const fromManager = await device.join(toManager);
    assert.deepEqual({ ...device.asks[0]!, ID: "" }, { Kind: "stream", ID: "", TaskID: "t1", Use: EXEC });
    const stream = await opening;
    assert.deepEqual((await stream.next()).value, new Uint8Array());
    from.give(encoder.encode("hello"));
    assert.equal(decoder.decode((await fromManager.next()).value as Uint8Array), "hello");
    toManager.give(encoder.encode("there"));
    assert.equal(decoder.decode((await stream.next()).value as Uint8Array), "there");
    // It is open, and so asked for no more.
    await settle(20);
    assert.deepEqual(device.asks, []);
    toManager.end();
    assert.equal((await stream.next()).done, true);
    assert.equal((await fromManager.next()).done, true);
    await until(() => from.left && events.length > 0);
    const { Type, Action, Actor } = JSON.parse(events[0]!);
    assert.deepEqual([Type, Action, Actor.ID, Actor.Attributes.by], [
      "task",
      "exec: sh -c ls",
      "t1",
      "administrator",
    ]);
    await reader.cancel();
  }));

Deno.test("Task stream: whoever does not read holds back the other end, in both directions, and no memory fills", () =>
  withDevice(async (device, { managers: { m3 } }) => {
    const flood = () => {
      const source = {
        taken: 0,
        async *pieces(): AsyncGenerator<Uint8Array> {
          for (;; source.taken++) yield await Promise.resolve(new Uint8Array(60_000));
        },
      };
      return source;
    };
    const client = flood(), node = flood();
    const opening = open(m3!, { from: client.pieces() });
    const fromManager = await device.join(node.pieces());
    const stream = await opening;
    await settle(400);
    const ahead = [client.taken, node.taken];
    // Three connections with a window each, and what one turn of each adds.
    assert.ok(ahead.every((count) => count > 2 && count * 60_000 < 3 * 1024 * 1024), `${ahead} pieces ahead`);
    await settle(400);
    assert.deepEqual([client.taken, node.taken], ahead);
    await stream.return!();
    await fromManager.return!();
  }));

Deno.test("Task stream: a client that leaves ends the device's call, and a device that goes tells the client", () =>
  withDevice(async (device, { managers: { m3 } }) => {
    for (const how of ["ends", "returns", "aborts"]) {
      const from = new Given(), left = new AbortController(), toManager = new Given();
      const opening = open(m3!, { from, left });
      const fromManager = await device.join(toManager);
      const stream = await opening;
      const gone = assert.rejects(async () => {
        while (!(await fromManager.next()).done) { /* up to its end */ }
        throw new Error("over");
      });
      if (how === "ends") from.end();
      else if (how === "returns") await stream.return!();
      else left.abort(new Error("left"));
      await until(() => toManager.left);
      await gone;
      await stream.return!();
      await settle(20);
    }
    const opening = open(m3!);
    await device.join(new Given());
    const stream = await opening;
    device.connection.close();
    const said: FromTask[] = [];
    for await (const frame of readOutput(bytesOf(stream))) {
      if (frame.kind === "control") said.push(frame.control);
    }
    assert.equal(said.length, 1);
    assert.match((said[0] as { Error: string }).Error, /its node is gone/);
  }));

async function* bytesOf(items: AsyncIterable<unknown>): AsyncGenerator<Uint8Array> {
  for await (const item of items) yield item as Uint8Array;
}

Deno.test("Task stream: junk from a device ends its own stream with a reason, and nothing else", () =>
  withDevice(async (device, { managers: { m3 } }) => {
    const fineTo = new Given();
    const fineOpening = open(m3!);
    await device.join(fineTo);
    const fine = await fineOpening;
    await fine.next();
    for (const junk of ["text", 7, null, { Error: 1 }, new Uint8Array(MAX_STREAM_PIECE_BYTES + 1)]) {
      const toManager = new Given(), opening = open(m3!);
      await settle(20);
      await device.join(toManager);
      const stream = await opening;
      toManager.give(junk);
      const said: unknown[] = [];
      for await (const frame of readOutput(bytesOf(stream))) said.push(frame);
      assert.deepEqual(said.length, 1);
      assert.match(JSON.stringify(said), /the node sends what is none/);
      await until(() => toManager.left);
    }
    // Streams that nobody asks for, and one that is taken.
    const ask: StreamAsk = { Kind: "stream", ID: "unknown", TaskID: "t1", Use: { Kind: "forward", Port: 1 } };
    for (const id of ["unknown", "", "x".repeat(100)]) {
      const items = await device.join(new Given(), { ...ask, ID: id });
      await assert.rejects(
        items.next(),
        (error: { code: string }) => ["not_found", "invalid_argument"].includes(error.code),
      );
    }
    const [frame] = outputFrames("output", encoder.encode("fine"));
    fineTo.give(frame);
    assert.deepEqual((await fine.next()).value, frame);
    await fine.return!();
  }));

Deno.test("Task stream: what cannot be opened is refused before anything is, with the reason", async () => {
  await withDevice(async (device, { clock, managers: { m1, m3 } }) => {
    const refused = (code: string, message: RegExp, how = {}) =>
      assert.rejects(open(m3!, how), { code, message });
    await refused("permission_denied", /administer/, {
      caller: { Name: "somebody", Rights: ["view", "operate"] },
    });
    await refused("invalid_argument", /Command: is required/, { use: { Kind: "exec" } });
    await refused("invalid_argument", /Port/, { use: { Kind: "forward", Port: 70000 } });
    await refused("invalid_argument", /Kind/, { use: { Kind: "anything" } });
    await refused("invalid_argument", /Height/, { use: { ...EXEC, Terminal: { Height: 1e9, Width: 1 } } });
    const silent = assert.rejects(open(m3!), {
      code: "deadline_exceeded",
      message: /not answered within 30 s/,
    });
    await until(() => device.asks.length > 0);
    for (let ms = 0; ms < STREAM_OPEN_MS; ms += 3_000) {
      await device.beat();
      await clock.advance(3_000);
    }
    await silent;
    await settle(20);
    assert.deepEqual(device.asks, []);
    await m1!.store.update((tx) => {
      const task = tx.get("tasks", "t1")!;
      tx.update("tasks", { ...task, Status: { ...task.Status, State: "complete" } });
    });
    await refused("failed_precondition", /it does not run, it is complete/);
  });
  await withDevice(async (_device, { managers: { m3 } }) => {
    await assert.rejects(open(m3!), { code: "unimplemented", message: /older version/ });
  }, ["logs"]);
  await withQuorum(async ({ managers: { m1, m3 } }) => {
    await m1!.store.update((tx) => tx.create("tasks", testTask("t1", "w1", { State: "running" })));
    await assert.rejects(open(m3!), { code: "unavailable", message: /not connected/ });
    const missing = m3!.api.openStream(
      { target: "/tasks/t9/stream", body: JSON.stringify(EXEC), caller: ADMINISTRATOR },
      new Given(),
      new AbortController().signal,
    );
    await assert.rejects(missing, { code: "not_found" });
  });
});

Deno.test("Task stream: a node has a limit of them, and another leader ends all", () =>
  withDevice(async (device, { clock, group, managers: { m3 } }) => {
    const streams: AsyncIterableIterator<unknown>[] = [];
    for (let i = 0; i < MAX_STREAMS_PER_NODE; i++) {
      const opening = open(m3!);
      await settle(10);
      await device.join(new Given());
      streams.push(await opening);
    }
    await assert.rejects(open(m3!), { code: "resource_exhausted", message: /has 32 open/ });
    const last = streams.pop()!;
    await last.return!();
    await settle(40);
    const opening = open(m3!);
    await settle(10);
    await device.join(new Given());
    streams.push(await opening);
    group.elect("m3");
    await clock.advance(LINGER_MS);
    for (const stream of streams) {
      await stream.next();
      const next = await stream.next().then(
        ({ value, done }) => done ? "end" : decoder.decode(value as Uint8Array),
        (error) => error.message,
      );
      assert.match(next, /its node is gone|another manager leads|leader changed|end/);
    }
  }));
