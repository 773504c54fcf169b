import assert from "node:assert/strict";
import { CoveyError } from "../../api/errors.ts";
import { ITEM_OVERHEAD_BYTES } from "../../transport/limits.ts";
import type { DuplexHandler, Method } from "../../transport/types.ts";
import { settle } from "../support/fake_clock.ts";
import { withLink } from "../support/memory_cluster.ts";
import { Counter, until } from "../support/transport.ts";

const duplex = (handler: DuplexHandler): Method => ({ kind: "duplex", access: "anyone", handler });

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

/** Items that wait for others to be given. */
function given() {
  const items: unknown[] = [];
  let wake = Promise.withResolvers<void>(), over = false;
  const stir = () => {
    wake.resolve();
    wake = Promise.withResolvers();
  };
  return {
    give: (item: unknown) => (items.push(item), stir()),
    end: () => (over = true, stir()),
    async *items(): AsyncGenerator<unknown> {
      for (;;) {
        if (items.length > 0) yield items.shift();
        else if (over) return;
        else await wake.promise;
      }
    },
  };
}

const echo = duplex(async function* (_request, requests) {
  for await (const item of requests) yield item;
});

Deno.test("Duplex: what is sent comes back in order, through windows and pieces", async () => {
  const counter = new Counter();
  await withLink({ "t.echo": echo }, async ({ connection }) => {
    const items = await collect(connection.duplex("t.echo", null, counter.numbers(3000)));
    assert.deepEqual(items, [...Array(3000).keys()]);
    assert.ok(counter.ended);
  }, { limits: { streamWindowBytes: 1000 }, pieceBytes: 7 });
});

Deno.test("Duplex: each side ends its own, and the other one goes on", async () => {
  const seen: unknown[] = [];
  const answersFirst = duplex(async function* (_request, requests) {
    yield await Promise.resolve("all of mine");
    // The rest is taken after the answer has ended.
    void (async () => {
      for await (const item of requests) seen.push(item);
      seen.push("end");
    })();
  });
  const tellsLast = duplex(async function* (_request, requests) {
    const items = await collect(requests);
    for (const item of items) yield item;
  });
  await withLink({ "t.first": answersFirst, "t.last": tellsLast }, async ({ connection }) => {
    const source = given();
    const answers = await collect(connection.duplex("t.first", null, source.items()));
    assert.deepEqual(answers, ["all of mine"]);
    source.give(1);
    source.give(2);
    await until(() => seen.length === 2);
    source.end();
    await until(() => seen.includes("end"));
    assert.deepEqual(await collect(connection.duplex("t.last", null, new Counter().numbers(3))), [0, 1, 2]);
  });
});

Deno.test("Duplex: who does not read holds back the other one within the window, in both directions", async () => {
  const mine = new Counter(), theirs = new Counter();
  const WINDOW = 20 * (ITEM_OVERHEAD_BYTES + 8);
  const deaf = duplex(async function* (_request, requests) {
    await requests.next();
    yield* theirs.numbers();
  });
  await withLink({ "t.deaf": deaf }, async ({ connection }) => {
    const items = connection.duplex("t.deaf", null, mine.numbers())[Symbol.asyncIterator]();
    await items.next();
    await settle(20);
    assert.ok(mine.taken > 5 && mine.taken < 60, `${mine.taken} sent ahead`);
    assert.ok(theirs.taken > 5 && theirs.taken < 60, `${theirs.taken} answered ahead`);
    await items.return!();
    await until(() => mine.ended && theirs.ended);
  }, { limits: { streamWindowBytes: WINDOW } });
});

Deno.test("Duplex: leaving, an error of either side, and a lost connection end both", async () => {
  for (const end of ["caller leaves", "source fails", "handler fails", "connection is lost"]) {
    const sent = given(), answered = given();
    let aborted: unknown;
    const both = duplex(async function* (_request, requests, { signal }) {
      signal.addEventListener("abort", () => aborted = signal.reason);
      const first = await requests.next();
      yield first.value;
      for await (const item of requests) {
        if (item === "fail") throw new CoveyError("not_found", "Cannot go on: gone");
      }
      yield* answered.items();
    });
    await withLink({ "t.both": both }, async ({ connection, network }) => {
      const source = (async function* () {
        for await (const item of sent.items()) {
          if (item === "break") throw new CoveyError("data_loss", "Cannot read on");
          yield item;
        }
      })();
      const items = connection.duplex("t.both", null, source)[Symbol.asyncIterator]();
      sent.give(1);
      assert.deepEqual(await items.next(), { value: 1, done: false });
      if (end === "caller leaves") {
        await items.return!();
        await until(() => aborted !== undefined);
      } else if (end === "source fails") {
        sent.give("break");
        await assert.rejects(items.next(), { code: "data_loss" });
        await until(() => aborted !== undefined);
      } else if (end === "handler fails") {
        sent.give("fail");
        await assert.rejects(items.next(), { code: "not_found" });
      } else {
        network.setLink("worker", "manager", "cut");
        await assert.rejects(items.next(), { code: "unavailable" });
        await until(() => aborted !== undefined);
      }
      sent.end();
      assert.equal((await source.next()).done, true);
    });
  }
});

Deno.test("Duplex: a handler that wants no more ends the source, which is asked for nothing before the call is accepted", async () => {
  const counter = new Counter(), untouched = new Counter();
  const takesOne = duplex(async function* (_request, requests) {
    const { value } = await requests.next();
    await requests.return!();
    yield value;
  });
  await withLink({ "t.one": takesOne }, async ({ connection }) => {
    assert.deepEqual(await collect(connection.duplex("t.one", null, counter.numbers())), [0]);
    await until(() => counter.ended);
    await assert.rejects(collect(connection.duplex("t.none", null, untouched.numbers())), {
      code: "unimplemented",
    });
    assert.equal(untouched.taken, 0);
  });
});
