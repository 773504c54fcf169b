import assert from "node:assert/strict";
import { EngineClient } from "../../../executors/docker/engine_client.ts";
import { FIRST_ANSWER_MS, ImagePuller, PULL_MEMORY_MS } from "../../../executors/docker/image_puller.ts";
import { FakeClock, settle } from "../../support/fake_clock.ts";
import { type Answer, failure, fakeEngine } from "./fake_engine.ts";

const never = new AbortController().signal;
const PULL = "POST /images/create";

async function withPuller(
  answer: Answer,
  run: (puller: ImagePuller, clock: FakeClock, pulls: () => number) => Promise<void>,
) {
  const server = await fakeEngine(answer);
  const clock = new FakeClock(), engine = new EngineClient(server.socket);
  const puller = new ImagePuller(engine, clock);
  try {
    await run(puller, clock, () => server.calls.filter((call) => call === PULL).length);
  } finally {
    puller.close();
    engine.close();
    await server.close();
  }
}

Deno.test("Pull: tasks of one image share one attempt, and a recent one serves those that come later", () =>
  withPuller(
    (_, route) => route === PULL ? failure(500, "no route to registry") : Response.json({ Id: "x" }),
    async (puller, clock, pulls) => {
      await Promise.all(Array.from({ length: 40 }, () => puller.ensure("app", never)));
      await puller.ensure("app:latest", never);
      assert.equal(pulls(), 1);
      await puller.ensure("other", never);
      assert.equal(pulls(), 2);
      await clock.advance(PULL_MEMORY_MS);
      await Promise.all([puller.ensure("app", never), puller.ensure("app", never)]);
      assert.equal(pulls(), 3);
    },
  ));

Deno.test("Pull: an image that is not there is tried again each time", () =>
  withPuller(() => failure(404, "no such image"), async (puller, _clock, pulls) => {
    await puller.ensure("app", never);
    await puller.ensure("app", never);
    assert.equal(pulls(), 2);
  }));

Deno.test("Pull: a local image named by its digest needs no registry", () =>
  withPuller(() => Response.json({ Id: "x" }), async (puller, _clock, pulls) => {
    await puller.ensure(`app@sha256:${"a".repeat(64)}`, never);
    assert.equal(pulls(), 0);
  }));

Deno.test("Pull: a registry that does not answer is waited for briefly when the image is local", () => {
  const asked = Promise.withResolvers<void>(), hanging = Promise.withResolvers<Response>();
  return withPuller(
    (_, route) => {
      if (route !== PULL) return Response.json({ Id: "x" });
      asked.resolve();
      return hanging.promise;
    },
    async (puller, clock) => {
      let done = false;
      const ensured = puller.ensure("app", never).then(() => done = true);
      await asked.promise;
      await clock.advance(FIRST_ANSWER_MS - 1);
      assert.ok(!done);
      await clock.advance(1);
      await ensured;
      assert.equal(clock.pending, 0);
      hanging.resolve(new Response());
    },
  );
});

Deno.test("Pull: a task that is aborted leaves the attempt to the others", () => {
  const pulled = Promise.withResolvers<Response>();
  return withPuller(
    (_, route) => route === PULL ? pulled.promise : Response.json({ Id: "x" }),
    async (puller, _clock, pulls) => {
      const abort = new AbortController();
      const first = puller.ensure("app", abort.signal), second = puller.ensure("app", never);
      abort.abort(new Error("task is no longer wanted"));
      await assert.rejects(first, /no longer wanted/);
      pulled.resolve(new Response('{"status":"Pulling from app"}\n{"status":"Done"}\n'));
      await second;
      assert.equal(pulls(), 1);
    },
  );
});

Deno.test("Pull: credentials go to the engine, are a try of their own, and the registry's reason comes back", () => {
  const seen: (string | null)[] = [];
  const refusal = { error: "unauthorized: authentication required" };
  return withPuller((request, route) => {
    if (route !== PULL) return failure(404, "no such image");
    seen.push(request.headers.get("x-registry-auth"));
    return Response.json(refusal);
  }, async (puller) => {
    const reasons = await Promise.all([
      puller.ensure("app", never),
      puller.ensure("app", never, "YQ=="),
      puller.ensure("app", never, "YQ=="),
      puller.ensure("app", never, "Yg=="),
    ]);
    assert.deepEqual(seen.toSorted(), ["YQ==", "Yg==", null].toSorted());
    for (const reason of reasons) {
      assert.equal(reason, "Cannot pull app:latest: unauthorized: authentication required");
    }
  });
});

Deno.test("Pull: one that breaks and had brought something goes on, one that brings nothing more does not", () => {
  const layer = (current: number) =>
    JSON.stringify({
      status: "Downloading",
      id: "a",
      progressDetail: { current: current * 1e6, total: 100e6 },
    });
  const broken = JSON.stringify({ error: "unexpected EOF" });
  const tries = [50, 90, 90, 95];
  const told = new Set<string | undefined>();
  return withPuller(
    (_, route) => {
      if (route !== PULL) return failure(404, "no such image");
      return new Response(`${layer(tries.shift()!)}\n${broken}\n`);
    },
    async (puller, clock, pulls) => {
      let why: string | undefined;
      const ensured = puller.ensure("app", never).then((reason) => why = reason);
      while (why === undefined) {
        await settle(1);
        told.add(puller.progress("app"));
        if (clock.pending > 0) await clock.advance(100);
      }
      await ensured;
      assert.equal(why, "Cannot pull app:latest: unexpected EOF");
      assert.equal(pulls(), 3);
      assert.ok(told.has("pulling: 0 of 1 layers, 50 of 100 MB"));
      assert.equal(puller.progress("app"), undefined);
    },
  );
});
