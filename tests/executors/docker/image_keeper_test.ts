import assert from "node:assert/strict";
import { EngineClient } from "../../../executors/docker/engine_client.ts";
import { ImageKeeper } from "../../../executors/docker/image_keeper.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { failure, fakeEngine } from "./fake_engine.ts";

const never = new AbortController().signal;
const here = new Set(["s"]);

/** A keeper on an engine that has what it is not told to remove; `needed` are images that it refuses to. */
async function withKeeper(
  run: (
    world: { anew: () => ImageKeeper; clock: FakeClock; removed: string[]; needed: Set<string> },
  ) => Promise<void>,
) {
  const removed: string[] = [], needed = new Set<string>();
  const server = await fakeEngine((_, route) => {
    const id = route.replace("DELETE /images/", "");
    if (needed.has(id)) return failure(409, "image is being used by stopped container");
    removed.push(id);
    return Response.json([]);
  });
  const path = await Deno.makeTempFile(), engine = new EngineClient(server.socket), clock = new FakeClock();
  try {
    await run({ anew: () => new ImageKeeper(engine, clock, path), clock, removed, needed });
  } finally {
    engine.close();
    await server.close();
    await Deno.remove(path);
  }
}

async function bring(keeper: ImageKeeper, service: string, ...ids: string[]): Promise<void> {
  for (const id of ids) {
    await keeper.pulled(id);
    await keeper.used(service, id);
  }
}

Deno.test("Images: the present one and the one before are kept, older ones removed, after a restart too", () =>
  withKeeper(async ({ anew, removed }) => {
    const keeper = anew();
    await bring(keeper, "s", "v1", "v2", "v3");
    await keeper.clean(here, never);
    assert.deepEqual(removed, ["v1"]);
    await bring(keeper, "s", "v4");
    // Back to the one before: of the two, neither goes.
    await bring(keeper, "s", "v3");
    const next = anew();
    await next.clean(here, never);
    assert.deepEqual(removed, ["v1", "v2"]);
    await next.clean(here, never);
    assert.equal(removed.length, 2);
  }));

Deno.test("Images: what no pull of a task brought, what another service has, and what is in use stays", () =>
  withKeeper(async ({ anew, removed, needed }) => {
    const keeper = anew();
    await keeper.used("s", "by hand");
    await bring(keeper, "s", "shared", "used", "old", "v2", "v3");
    await bring(keeper, "other", "shared");
    needed.add("used");
    await keeper.clean(new Set(["s", "other"]), never);
    assert.deepEqual(removed, ["old"]);
    needed.clear();
    await keeper.clean(new Set(["s", "other"]), never);
    assert.deepEqual(removed, ["old", "used"]);
  }));

Deno.test("Images: those of a service that is gone go after a day, and none while a task is made ready", () =>
  withKeeper(async ({ anew, clock, removed }) => {
    const keeper = anew();
    await bring(keeper, "s", "v1", "v2");
    await keeper.clean(new Set(), never);
    await clock.advance(23 * 3_600_000);
    await keeper.clean(here, never);
    await clock.advance(3_600_000);
    await keeper.clean(new Set(), never);
    assert.deepEqual(removed, [], "it was there in between");
    await clock.advance(24 * 3_600_000);
    const ready = Promise.withResolvers<void>(), preparing = keeper.preparing(() => ready.promise);
    await keeper.clean(new Set(), never);
    assert.deepEqual(removed, []);
    ready.resolve();
    await preparing;
    await keeper.clean(new Set(), never);
    assert.deepEqual(removed.toSorted(), ["v1", "v2"]);
  }));
