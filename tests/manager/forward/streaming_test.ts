import { noStreams } from "../../support/no_streams.ts";
import { ADMINISTRATOR } from "../../../manager/control/caller.ts";
import assert from "node:assert/strict";
import { Routing } from "../../../manager/forward/mod.ts";
import { MAX_PIECE_BYTES } from "../../../manager/forward/control_messages.ts";
import { MAX_CALLS_PER_CONNECTION } from "../../../manager/forward/leader_connections.ts";
import { type Listener, memoryNetwork } from "../../../transport/mod.ts";
import { FakeClock, settle } from "../../support/fake_clock.ts";
import { identityOf, routerOf, until } from "../../support/transport.ts";
import { FakeGroup } from "./fake_group.ts";

const GET = { Method: "GET", Path: "/stream", Headers: [], Body: new Uint8Array(), Caller: ADMINISTRATOR };
const CHUNKED = { headers: { "Transfer-Encoding": "chunked" } };

/** A leader that answers with `answer`, and what its follower makes of a GET. */
async function withFollower(
  answer: () => Response,
  test: (ask: () => Promise<Response>, leader: Listener) => Promise<void>,
): Promise<void> {
  const clock = new FakeClock(), network = memoryNetwork();
  const group = new FakeGroup({ m1: "m1:1", m2: "m2:1" }, "m1");
  const routing = ["m1", "m2"].map((nodeID) =>
    new Routing({
      consensus: group.consensus[nodeID]!,
      nodeID,
      clock,
      dialer: network.dialer({ host: nodeID, identity: () => identityOf(nodeID, "swarm-manager"), clock }),
      answer,
      openTaskStream: noStreams,
    })
  );
  const listener = await network.listen({
    listen: "m1:1",
    identity: () => identityOf("m1", "swarm-manager"),
    router: routerOf(routing[0]!.methods({})),
    clock,
  });
  try {
    assert.equal(await routing[0]!.forward(GET), undefined);
    await test(async () => (await routing[1]!.forward(GET))!, listener);
  } finally {
    for (const each of routing) each.close();
    await listener.close();
    await clock.advance(5_000);
  }
  if (clock.pending > 0) throw new Error(`${clock.pending} timers are left`);
}

Deno.test("Streaming response: its head comes before its body, and each piece as it is written", async () => {
  const source = new TransformStream<Uint8Array, Uint8Array>();
  const writer = source.writable.getWriter();
  await withFollower(() => new Response(source.readable, { ...CHUNKED, status: 201 }), async (ask) => {
    const response = await ask();
    assert.deepEqual([response.status, response.headers.get("transfer-encoding")], [201, "chunked"]);
    const reader = response.body!.getReader();
    for (const text of ["one", "two"]) {
      writer.write(new TextEncoder().encode(text));
      assert.equal(new TextDecoder().decode((await reader.read()).value), text);
    }
    const large = new Uint8Array(MAX_PIECE_BYTES * 2 + 1).fill(7);
    writer.write(large);
    writer.close();
    const sizes: number[] = [];
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      sizes.push(next.value.length);
    }
    assert.deepEqual(sizes, [MAX_PIECE_BYTES, MAX_PIECE_BYTES, 1]);
  });
});

Deno.test("Streaming response: a client that reads slowly holds the source back", async () => {
  let written = 0;
  const endless = () =>
    new ReadableStream<Uint8Array>({
      pull(controller) {
        written += MAX_PIECE_BYTES;
        controller.enqueue(new Uint8Array(MAX_PIECE_BYTES));
      },
    });
  await withFollower(() => new Response(endless(), CHUNKED), async (ask) => {
    const reader = (await ask()).body!.getReader();
    await settle(50);
    assert.ok(written <= 512 * 1024, `${written} bytes were read ahead`);
    for (let i = 0; i < 32; i++) await reader.read();
    assert.ok(written >= 32 * MAX_PIECE_BYTES);
    await reader.cancel();
  });
});

Deno.test("Streaming response: a client that leaves ends the source, even while nothing comes", async () => {
  let canceled = false;
  const silent = () => new ReadableStream<Uint8Array>({ cancel: () => void (canceled = true) });
  await withFollower(() => new Response(silent(), CHUNKED), async (ask) => {
    const response = await ask();
    await settle();
    assert.equal(canceled, false);
    await response.body!.cancel();
    await until(() => canceled);
  });
});

Deno.test("Responses: give up their place on the connection when they are complete", async () => {
  const bodies = [null, "short", "x".repeat(MAX_PIECE_BYTES + 1)];
  let asked = 0;
  await withFollower(() => new Response(bodies[asked++ % 3]), async (ask, leader) => {
    for (let i = 0; i < MAX_CALLS_PER_CONNECTION + 3; i++) {
      const { length } = await (await ask()).text();
      assert.equal(length, bodies[i % 3]?.length ?? 0);
    }
    assert.equal(leader.connections, 1);
  });
});
