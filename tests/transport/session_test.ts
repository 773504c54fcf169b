import assert from "node:assert/strict";
import fc from "fast-check";
import { FrameType } from "../../transport/frames.ts";
import { type Limits, MAX_METHOD_NAME_LENGTH } from "../../transport/limits.ts";
import type { Method } from "../../transport/types.ts";
import { settle } from "../support/fake_clock.ts";
import { collectGarbage } from "../support/gc.ts";
import { RawPeer } from "../support/raw_peer.ts";
import { identityOf, routerOf, until } from "../support/transport.ts";

const methods: Record<string, Method> = {
  "t.echo": { kind: "unary", access: "anyone", handler: (request) => Promise.resolve(request) },
  "t.sink": {
    kind: "client_stream",
    access: "anyone",
    async handler(requests) {
      for await (const item of requests) if (item === "stop") return "stopped";
    },
  },
  "t.stuck": { kind: "client_stream", access: "anyone", handler: () => new Promise<never>(() => {}) },
};

function accepting(limits: Partial<Limits> = {}): RawPeer {
  return new RawPeer({ dialed: false, router: routerOf(methods), limits, peer: identityOf("w1") });
}

/** The code and message of the goodbye that the session sent. */
function goodbye(peer: RawPeer): string {
  const frame = peer.frames.find((frame) => frame[0] === FrameType.goodbye);
  const error = frame?.[1] as { code: string; message: string } | undefined;
  return error ? `${error.code}: ${error.message}` : "none";
}

async function finish(peer: RawPeer): Promise<void> {
  peer.close();
  await peer.session.closed;
  assert.equal(peer.clock.pending, 0);
}

const open = (id: number, kind: string, name: string, ...rest: unknown[]) => [
  FrameType.open,
  id,
  kind,
  name,
  ...(rest.length > 0 ? rest : ["hi", 0, 0]),
];

Deno.test("Session: a frame that breaks the rules ends the connection with its reason", async () => {
  const { open: OPEN, item, end, credit, hello, result, fail } = FrameType;
  const table: [unknown[], RegExp][] = [
    [[99], /no call ID/],
    [["text", 1], /call 1 was never opened/],
    [[item, -1, 0], /no call ID/],
    [[item, 1.5, 0], /no call ID/],
    [[item, 7, 0], /call 7 was never opened/],
    [[credit, 2, 10], /call 2 was never made/],
    [[result, 2, 1], /call 2 was never made/],
    [[hello, 1], /hello from the end that dialed/],
    [open(2, "unary", "t.echo"), /call 2 cannot be opened/],
    [open(0, "unary", "t.echo"), /no call ID/],
    [open(1, "triplex", "t.echo"), /no kind of call/],
    [[OPEN, 1, "unary", 5], /no method name/],
    [open(1, "unary", "t.echo", 1, -1, 0), /no number as timeout/],
    [open(1, "unary", "t.echo", 1, 0, "x"), /no number as credit/],
    [open(1, "unary", "t.echo", 1, 0, 0, { nodeID: "x" }), /no identity of a forwarded caller/],
    [[fail, 4, null], /call 4 was never made/],
    [[end, 9], /call 9 was never opened/],
  ];
  for (const [frame, reason] of table) {
    const peer = accepting();
    peer.send(frame);
    await until(() => peer.ended);
    assert.match(goodbye(peer), reason, JSON.stringify(frame));
    assert.match(goodbye(peer), /^invalid_argument/);
    await finish(peer);
  }
});

Deno.test("Session: call IDs only grow", async () => {
  const peer = accepting();
  peer.send(open(5, "unary", "t.echo"), open(3, "unary", "t.echo"));
  await until(() => peer.ended);
  assert.match(goodbye(peer), /call 3 cannot be opened/);
  await finish(peer);
});

Deno.test("Session: frames for a call that is over are dropped", async () => {
  const peer = accepting();
  peer.send(open(1, "unary", "t.echo"));
  await until(() => peer.frames.length === 2);
  peer.send([FrameType.cancel, 1], [FrameType.item, 1, 0], [FrameType.credit, 1, 5], [FrameType.end, 1]);
  peer.send(open(3, "unary", "t.echo"));
  await until(() => peer.frames.length === 3);
  assert.deepEqual(peer.frames, [[FrameType.hello, 1], [FrameType.result, 1, "hi"], [
    FrameType.result,
    3,
    "hi",
  ]]);
  await finish(peer);
});

Deno.test("Session: a stream item without credit ends the connection", async () => {
  const peer = accepting({ streamWindowBytes: 200 });
  peer.send(open(1, "client_stream", "t.stuck"));
  for (let i = 0; i < 5; i++) peer.send([FrameType.item, 1, "x"]);
  await until(() => peer.ended);
  assert.match(goodbye(peer), /without credit/);
  await finish(peer);
});

Deno.test("Session: an oversized frame is refused by its length alone, earlier without certificate", async () => {
  const peer = new RawPeer({ dialed: false, router: routerOf(methods) });
  peer.sendBytes(new Uint8Array([0, 0, 64, 1]));
  await until(() => peer.ended);
  assert.match(goodbye(peer), /^resource_exhausted: .*16385 bytes exceed the limit of 16384/);
  await finish(peer);
});

Deno.test("Session: without certificate a frame has few values, and few calls are open", async () => {
  const values = (count: number) => open(1, "unary", "t.echo", new Array(count).fill(0), 0, 0);
  const nobody = () => new RawPeer({ dialed: false, router: routerOf(methods) });
  const [modest, greedy, busy] = [nobody(), nobody(), nobody()];
  modest.send(values(40));
  await until(() => modest.frames.some(([type]) => type === FrameType.result));
  greedy.send(values(50));
  await until(() => greedy.ended);
  assert.match(goodbye(greedy), /more than 50 values/);
  busy.send(...[1, 3, 5, 7, 9].map((id) => open(id, "client_stream", "t.stuck")));
  await until(() => busy.frames.some(([type]) => type === FrameType.fail));
  const failed = busy.frames.find(([type]) => type === FrameType.fail)!;
  assert.match((failed[2] as { message: string }).message, /4 calls are open, the limit/);
  for (const peer of [modest, greedy, busy]) await finish(peer);
});

Deno.test("Session: without certificate a peer that does not read is cut off early", async () => {
  const peer = new RawPeer({ dialed: false, router: routerOf(methods) });
  await settle();
  peer.fromSession.stalled = true;
  const name = "x".repeat(MAX_METHOD_NAME_LENGTH);
  peer.send(...Array.from({ length: 1000 }, (_, i) => open(2 * i + 1, "unary", name)));
  assert.match((await peer.session.closed)!.message, /the peer does not read, 13\d{4} bytes are queued/);
  peer.fromSession.stalled = false;
  await finish(peer);
});

Deno.test("Session: what the open requests of a worker hold is bounded, values counted", async () => {
  const peer = new RawPeer({
    dialed: false,
    router: routerOf({ "t.wait": { kind: "unary", access: "node", handler: () => new Promise(() => {}) } }),
    peer: identityOf("w1"),
  });
  const junk = new Array(90_000).fill(0);
  peer.send(...[1, 3].map((id) => open(id, "unary", "t.wait", junk, 0, 0)));
  await until(() => peer.frames.some(([type]) => type === FrameType.fail));
  const [, id, error] = peer.frames.find(([type]) => type === FrameType.fail)!;
  assert.equal(id, 3);
  assert.match((error as { message: string }).message, /requests of \d+ bytes are open/);
  peer.send([FrameType.cancel, 1]);
  await finish(peer);
});

Deno.test("Session: a request is let go once its handler has it", async () => {
  const seen: WeakRef<object>[] = [];
  const peer = new RawPeer({
    dialed: false,
    router: routerOf({
      "t.wait": {
        kind: "unary",
        access: "anyone",
        handler: (request) => {
          seen.push(new WeakRef(request as object));
          return new Promise(() => {});
        },
      },
    }),
  });
  peer.send(open(1, "unary", "t.wait", { Field: "x" }, 0, 0));
  await until(() => seen.length === 1);
  await settle();
  collectGarbage();
  assert.equal(seen[0]!.deref(), undefined);
  await finish(peer);
});

Deno.test("Session: a flood of pings is handled a few at a time, and what it sends is held back meanwhile", async () => {
  const peer = accepting();
  const other: string[] = [];
  peer.send(...Array.from({ length: 5000 }, () => [FrameType.ping]));
  queueMicrotask(() => other.push("went on"));
  await until(() => peer.frames.filter(([type]) => type === FrameType.pong).length === 5000);
  assert.deepEqual(other, ["went on"]);
  assert.ok(peer.writes > 5, `${peer.writes} writes`);
  await finish(peer);
});

Deno.test("Session: a frame cut off by the end of the connection is only a lost connection", async () => {
  const peer = accepting();
  peer.sendBytes(new Uint8Array([0, 0, 0, 9, 1, 2]));
  await settle();
  await finish(peer);
  assert.equal((await peer.session.closed)?.code, "unavailable");
});

Deno.test("Session: random frames and bytes at either end never crash, hang or leave a call open", async () => {
  const value = fc.oneof(
    fc.integer({ min: -1, max: 6 }),
    fc.constantFrom(...Object.keys(methods)),
    fc.anything(),
  );
  const type = fc.constantFrom(...Object.values(FrameType), 11, null);
  const frame = fc.tuple(type, fc.integer({ min: -1, max: 9 }), fc.array(value, { maxLength: 6 }))
    .map(([type, id, rest]) => [type, id, ...rest]);
  const kind = fc.constantFrom("unary", "server_stream", "client_stream");
  const opening = fc.tuple(fc.integer({ min: 0, max: 9 }), kind, fc.constantFrom(...Object.keys(methods)))
    .map(([id, kind, name]) => open(id, kind, name, null, 0, 100));
  const step = fc.oneof(frame, opening, fc.uint8Array({ maxLength: 12 }));
  await fc.assert(
    fc.asyncProperty(fc.boolean(), fc.array(step, { maxLength: 12 }), async (dialed, steps) => {
      const peer = new RawPeer({ dialed, router: routerOf(methods), peer: identityOf("w1") });
      const call = peer.session.call("t.any", 1).then(() => "done", (error) => error.name);
      for (const step of steps) {
        if (step instanceof Uint8Array) peer.sendBytes(step);
        else {
          try {
            peer.send(step);
          } catch {
            // The generator made something that is no plain data.
          }
        }
      }
      await settle(2);
      peer.close();
      await peer.session.closed;
      assert.ok(["done", "CoveyError"].includes(await call));
      assert.equal(peer.clock.pending, 0);
    }),
    { numRuns: 300 },
  );
});

Deno.test("Session: frames of one tick leave in one write", async () => {
  const peer = new RawPeer({ dialed: true });
  const calls = Array.from({ length: 100 }, (_, i) => peer.session.call("t.any", i).catch(() => {}));
  await settle();
  assert.equal(peer.frames.length, 100);
  assert.equal(peer.writes, 1);
  await finish(peer);
  await Promise.all(calls);
});

Deno.test("Session: a peer that asks and never reads is cut off", async () => {
  const peer = accepting({ maxQueuedBytes: 1000, queueOverdraftBytes: 100_000 });
  await settle();
  peer.fromSession.stalled = true;
  const name = "x".repeat(MAX_METHOD_NAME_LENGTH);
  const answers = Math.ceil(100_000 / name.length);
  peer.send(...Array.from({ length: answers }, (_, i) => open(2 * i + 1, "unary", name)));
  assert.match((await peer.session.closed)!.message, /the peer does not read, \d+ bytes are queued/);
  peer.fromSession.stalled = false;
  await finish(peer);
});

Deno.test("Session: silence is answered by pings, then ends the connection", async () => {
  const peer = accepting({ keepaliveIntervalMs: 1000, keepaliveMisses: 2 });
  const pings = () => peer.frames.filter((frame) => frame[0] === FrameType.ping).length;
  await peer.clock.advance(2000);
  assert.equal(pings(), 1);
  peer.send([FrameType.pong]);
  await settle();
  await peer.clock.advance(1000);
  assert.equal(pings(), 1);
  await peer.clock.advance(3000);
  assert.match((await peer.session.closed)!.message, /no sign of life for 3000 ms/);
  assert.equal(pings(), 3);
  await finish(peer);
});

Deno.test("Session: a peer of another protocol version is refused", async () => {
  const peer = new RawPeer({ dialed: true });
  peer.send([FrameType.hello, 2]);
  await assert.rejects(peer.session.welcomed, { message: /unknown protocol version 2/ });
  await finish(peer);
});

Deno.test("Session: an end that does not finish closing is cut after the grace period", async () => {
  const { session, clock } = new RawPeer({ dialed: true });
  session.close();
  await clock.advance(2000);
  assert.equal(await session.closed, undefined);
  assert.equal(clock.pending, 0);
});
