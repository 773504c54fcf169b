import assert from "node:assert/strict";
import { Hono } from "@hono/hono";
import type { ControlApp, ControlContext, RequestEnv } from "../../../../manager/http/context.ts";
import type { Engine } from "../../../../manager/http/engine.ts";
import { EventHub } from "../../../../manager/http/events/event_hub.ts";
import { eventRoutes } from "../../../../manager/http/routes/event_routes.ts";
import { FakeClock, settle } from "../../../support/fake_clock.ts";
import { FakeNode, testRandom } from "../fake_node.ts";

/** More than anybody may keep for a client that does not read. */
const CHUNKS = 5000;

/** An engine that has `CHUNKS` events to tell, and counts those taken from it. */
function talkativeEngine() {
  const counts = { taken: 0 };
  const stream = () => {
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (counts.taken === CHUNKS) return controller.close();
        controller.enqueue(new TextEncoder().encode(`{"n":${counts.taken++}}\n`));
      },
    }, { highWaterMark: 0 });
    return Promise.resolve(new Response(body));
  };
  return { engine: { socket: "/engine", stream } as unknown as Engine, counts };
}

Deno.test("Events: the engine's wait in the engine while a client does not read, and none is lost", async () => {
  const clock = new FakeClock(),
    { engine, counts } = talkativeEngine(),
    app: ControlApp = new Hono<RequestEnv>();
  const lifecycle = new FakeNode(clock), hub = new EventHub(clock);
  const context: ControlContext = { lifecycle, clock, random: testRandom, engine, version: "0" };
  eventRoutes(app, context, hub);
  const response = await app.request(`/events?until=${clock.now() / 1000 - 1}`);
  for (let turns = 0; turns < 20; turns++) await settle();
  assert.ok(counts.taken <= 3, `${counts.taken} events were taken from the engine`);
  assert.equal((await response.text()).trim().split("\n").length, CHUNKS);
  assert.equal(counts.taken, CHUNKS);
});

Deno.test("Events: a client that goes away while the engine's events wait ends their stream", async () => {
  const clock = new FakeClock(),
    { engine, counts } = talkativeEngine(),
    app: ControlApp = new Hono<RequestEnv>();
  const context: ControlContext = {
    lifecycle: new FakeNode(clock),
    clock,
    random: testRandom,
    engine,
    version: "0",
  };
  eventRoutes(app, context, new EventHub(clock));
  const response = await app.request("/events");
  await settle();
  await response.body!.cancel();
  await settle();
  assert.ok(counts.taken <= 3, `${counts.taken} events were taken from the engine`);
});
