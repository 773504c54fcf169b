import assert from "node:assert/strict";
import { CoveyError } from "../../api/errors.ts";
import { ITEM_OVERHEAD_BYTES } from "../../transport/limits.ts";
import type { CallContext, Method } from "../../transport/types.ts";
import { settle } from "../support/fake_clock.ts";
import { withLink } from "../support/memory_cluster.ts";
import { Counter, until } from "../support/transport.ts";

const serverStream = (
  handler: (request: unknown, context: CallContext) => AsyncIterable<unknown>,
): Method => ({
  kind: "server_stream",
  access: "anyone",
  handler,
});
const clientStream = (
  handler: (requests: AsyncIterable<unknown>, context: CallContext) => Promise<unknown>,
): Method => ({ kind: "client_stream", access: "anyone", handler });

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

Deno.test("Server stream: all items arrive in order, then the end", async () => {
  const counter = new Counter();
  await withLink({ "t.count": serverStream(() => counter.numbers(5000)) }, async ({ connection }) => {
    assert.deepEqual(await collect(connection.serverStream("t.count", null)), [...Array(5000).keys()]);
  }, { limits: { streamWindowBytes: 1000 }, pieceBytes: 7 });
});

Deno.test("Server stream: items before an error are delivered, then the error", async () => {
  const failing = serverStream(async function* () {
    yield 1;
    await Promise.resolve();
    throw new CoveyError("not_found", "Cannot watch: gone");
  });
  await withLink({ "t.fail": failing }, async ({ connection }) => {
    const items = connection.serverStream("t.fail", null)[Symbol.asyncIterator]();
    assert.deepEqual(await items.next(), { value: 1, done: false });
    await assert.rejects(items.next(), { code: "not_found" });
    assert.deepEqual(await items.next(), { value: undefined, done: true });
  });
});

Deno.test("Server stream: leaving the loop ends the handler's iterator and aborts it", async () => {
  const counter = new Counter();
  let aborted = false;
  const count = serverStream((_request, { signal }) => {
    signal.addEventListener("abort", () => aborted = true);
    return counter.numbers();
  });
  await withLink({ "t.count": count }, async ({ connection }) => {
    for await (const item of connection.serverStream("t.count", null)) if (item === 3) break;
    await until(() => counter.ended && aborted);
  });
});

Deno.test("Server stream: return works while next waits for a silent handler", async () => {
  let aborted = false;
  const silent = serverStream(async function* (_request, { signal }) {
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    aborted = true;
    yield 1;
  });
  await withLink({ "t.silent": silent }, async ({ connection }) => {
    const items = connection.serverStream("t.silent", null)[Symbol.asyncIterator]();
    const waiting = items.next();
    await settle();
    await items.return!();
    assert.equal((await waiting).done, true);
    await until(() => aborted);
  });
});

Deno.test("Server stream: a slow consumer holds the handler back within the window", async () => {
  const counter = new Counter();
  const WINDOW = 20 * (ITEM_OVERHEAD_BYTES + 8);
  await withLink({ "t.count": serverStream(() => counter.numbers()) }, async ({ connection }) => {
    const items = connection.serverStream("t.count", null)[Symbol.asyncIterator]();
    await items.next();
    await settle(20);
    const ahead = counter.taken;
    assert.ok(ahead > 5 && ahead < 60, `${ahead} items ahead`);
    for (let i = 0; i < 500; i++) await items.next();
    await settle(20);
    assert.ok(counter.taken - 500 < 60, `${counter.taken - 500} items ahead`);
    await items.return!();
    await until(() => counter.ended);
  }, { limits: { streamWindowBytes: WINDOW } });
});

Deno.test("Server stream: one item larger than the window does not block it", async () => {
  const large = serverStream(async function* () {
    for (let i = 0; i < 4; i++) yield await Promise.resolve(new Uint8Array(5000));
  });
  await withLink({ "t.large": large }, async ({ connection }) => {
    assert.equal((await collect(connection.serverStream("t.large", null))).length, 4);
  }, { limits: { streamWindowBytes: 1000 } });
});

Deno.test("Server stream: a slow stream does not hold up a fast one", async () => {
  const slow = new Counter();
  const fast = new Counter();
  const methods = {
    "t.slow": serverStream(() => slow.numbers()),
    "t.fast": serverStream(() => fast.numbers(500)),
  };
  await withLink(methods, async ({ connection }) => {
    const stuck = connection.serverStream("t.slow", null)[Symbol.asyncIterator]();
    await stuck.next();
    assert.equal((await collect(connection.serverStream("t.fast", null))).length, 500);
    await stuck.return!();
  }, { limits: { streamWindowBytes: 1000 } });
});

Deno.test("Server stream: its deadline and a broken connection end it with their errors", async () => {
  const counter = new Counter();
  const silent = serverStream(async function* (_request, { signal }) {
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    yield* counter.numbers(0);
  });
  await withLink({ "t.silent": silent }, async ({ connection, clock, network }) => {
    const late = assert.rejects(collect(connection.serverStream("t.silent", null, { timeoutMs: 50 })), {
      code: "deadline_exceeded",
    });
    await clock.advance(50);
    await late;
    const broken = assert.rejects(collect(connection.serverStream("t.silent", null)), {
      code: "unavailable",
    });
    await settle();
    network.setLink("worker", "manager", "cut");
    await broken;
  });
});

Deno.test("Client stream: all items arrive in order, then the answer", async () => {
  const counter = new Counter();
  const sum = clientStream(async (requests) => {
    let total = 0;
    for await (const item of requests) total += item as number;
    return total;
  });
  await withLink({ "t.sum": sum }, async ({ connection }) => {
    assert.equal(await connection.clientStream("t.sum", counter.numbers(2000)), 1999000);
    await until(() => counter.ended);
  }, { limits: { streamWindowBytes: 1000 }, pieceBytes: 5 });
});

Deno.test("Client stream: an early answer ends the caller's iterable", async () => {
  const counter = new Counter();
  const first = clientStream(async (requests) => {
    for await (const item of requests) return item;
  });
  await withLink({ "t.first": first }, async ({ connection }) => {
    assert.equal(await connection.clientStream("t.first", counter.numbers()), 0);
    await until(() => counter.ended);
  });
});

Deno.test("Client stream: a refused call never touches the iterable", async () => {
  const counter = new Counter();
  await withLink({}, async ({ connection }) => {
    await assert.rejects(connection.clientStream("t.none", counter.numbers()), { code: "unimplemented" });
    assert.equal(counter.taken, 0);
  });
});

Deno.test("Client stream: an error of the iterable fails the call here and the requests there", async () => {
  let seen = "";
  const drain = clientStream(async (requests) => {
    try {
      await collect(requests);
    } catch (error) {
      seen = (error as CoveyError).code;
    }
  });
  async function* failing() {
    yield 1;
    await Promise.resolve();
    throw new CoveyError("data_loss", "Cannot read snapshot: checksum");
  }
  await withLink({ "t.drain": drain }, async ({ connection }) => {
    await assert.rejects(connection.clientStream("t.drain", failing()), { code: "data_loss" });
    await until(() => seen === "canceled");
  });
});

Deno.test("Client stream: a handler that does not read holds the sender back within the window", async () => {
  const counter = new Counter();
  let answer = (_value: unknown) => {};
  const stuck = clientStream(() => new Promise((resolve) => answer = resolve));
  await withLink({ "t.stuck": stuck }, async ({ connection }) => {
    const call = connection.clientStream("t.stuck", counter.numbers());
    await settle(20);
    assert.ok(counter.taken > 5 && counter.taken < 60, `${counter.taken} items sent`);
    answer("enough");
    assert.equal(await call, "enough");
    await until(() => counter.ended);
  }, { limits: { streamWindowBytes: 20 * (ITEM_OVERHEAD_BYTES + 8) } });
});

Deno.test("Client stream: canceling stops a source that is stuck", async () => {
  const drain = clientStream(collect);
  const controller = new AbortController();
  const stuck = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }) };
  await withLink({ "t.drain": drain }, async ({ connection }) => {
    const call = connection.clientStream("t.drain", stuck, { signal: controller.signal });
    await settle();
    controller.abort();
    await assert.rejects(call, { code: "canceled" });
  });
});
