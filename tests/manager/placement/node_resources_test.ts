import assert from "node:assert/strict";
import type { GenericResource } from "../../../api/objects.ts";
import { NodeResources } from "../../../manager/placement/mod.ts";

const gpus: GenericResource[] = ["g1", "g2", "g3"].map((Value) => ({
  NamedResourceSpec: { Kind: "gpu", Value },
}));
const wants = (Value: number) => ({ GenericResources: [{ DiscreteResourceSpec: { Kind: "gpu", Value } }] });

function task(reservations: object, assigned?: GenericResource[]) {
  const Spec = { ForceUpdate: 0, Runtime: "process", Resources: { Reservations: reservations } };
  return assigned ? { Spec, AssignedGenericResources: assigned } : { Spec };
}

Deno.test("NodeResources: room is what the scarcest resource permits", () => {
  const free = new NodeResources({ Resources: { NanoCPUs: 4e9, MemoryBytes: 300 } });
  assert.equal(free.room({ NanoCPUs: 1e9, MemoryBytes: 100 }), 3);
  assert.equal(free.room({ NanoCPUs: 1.5e9 }), 2);
  assert.equal(free.room({}), Infinity);
  assert.equal(free.room({ NanoCPUs: 5e9 }), 0);
});

Deno.test("NodeResources: taking and giving back are opposites, below zero too", () => {
  const free = new NodeResources({ Resources: { NanoCPUs: 1e9 } });
  const heavy = task({ NanoCPUs: 2e9 });
  free.take(heavy);
  assert.equal(free.room({ NanoCPUs: 1 }), 0);
  free.give(heavy);
  assert.equal(free.room({ NanoCPUs: 1e9 }), 1);
});

Deno.test("NodeResources: named resources are never given out twice (67)", () => {
  const free = new NodeResources({ Resources: { GenericResources: gpus } });
  assert.equal(free.room(wants(2)), 1);
  const first = task(wants(2), free.choose(wants(2)));
  free.take(first);
  const second = task(wants(1), free.choose(wants(1)));
  free.take(second);
  const names = [first, second].flatMap((t) => t.AssignedGenericResources ?? []).map((r) =>
    JSON.stringify(r)
  );
  assert.equal(new Set(names).size, 3);
  assert.equal(free.room(wants(1)), 0);
  assert.equal(free.fits(second), false);
  free.give(second);
  assert.equal(free.fits(second), true);
});

Deno.test("NodeResources: counted resources go down and come back", () => {
  const free = new NodeResources({
    Resources: { GenericResources: [{ DiscreteResourceSpec: { Kind: "gpu", Value: 3 } }] },
  });
  const held = task(wants(2), free.choose(wants(2)));
  free.take(held);
  assert.equal(free.room(wants(1)), 1);
  free.give(held);
  assert.equal(free.room(wants(1)), 3);
});

Deno.test("NodeResources: a resource of no kind, which an earlier version stored, counts for nothing", () => {
  const GenericResources = [{}, ...gpus] as GenericResource[];
  const free = new NodeResources({ Resources: { GenericResources } });
  assert.equal(free.room({ GenericResources }), 1);
  assert.deepEqual(free.choose({ GenericResources: [{}] as GenericResource[] }), []);
  const odd = task({}, GenericResources);
  assert.equal(free.fits(odd), true);
  free.take(odd);
  assert.equal(free.room(wants(1)), 0);
  free.give(odd);
  assert.equal(free.room(wants(1)), 3);
});

const claims = (...paths: string[]) => ({
  GenericResources: paths.map((Value) => ({ NamedResourceSpec: { Kind: "dev", Value } })),
});

Deno.test("NodeResources: paths below /dev are offered as the agent finds them, and claimed by name once each", () => {
  const Facts = { dev: ["/dev/ttyUSB0", "/dev/video0", "/dev/video1"] };
  const free = new NodeResources({ Resources: {}, Facts });
  assert.equal(free.room(claims("/dev/ttyUSB0")), 1);
  assert.equal(free.room(claims("/dev/ttyUSB9")), 0);
  assert.deepEqual(free.shortOf(claims("/dev/ttyUSB9")), ["dev /dev/ttyUSB9"]);
  const first = task(claims("/dev/ttyUSB0"), free.choose(claims("/dev/ttyUSB0")));
  assert.deepEqual(first.AssignedGenericResources, claims("/dev/ttyUSB0").GenericResources);
  free.take(first);
  assert.equal(free.room(claims("/dev/ttyUSB0")), 0);
  assert.equal(free.room(claims("/dev/ttyUSB0", "/dev/video0")), 0);
  // One by name and any other: not the same twice.
  const both = {
    GenericResources: [
      ...claims("/dev/video0").GenericResources,
      { DiscreteResourceSpec: { Kind: "dev", Value: 1 } },
    ],
  };
  assert.equal(free.room(both), 1);
  assert.deepEqual(free.choose(both), claims("/dev/video0", "/dev/video1").GenericResources);
  free.give(first);
  assert.equal(free.room(claims("/dev/ttyUSB0")), 1);
});

Deno.test("NodeResources: a path that was pulled out does not fit any more, and does not come back with its task", () => {
  const held = task(claims("/dev/video0"), [...claims("/dev/video0").GenericResources]);
  const free = new NodeResources({ Resources: {}, Facts: { dev: [] } });
  assert.equal(free.fits(held), false);
  free.take(held);
  free.give(held);
  assert.equal(free.room(claims("/dev/video0")), 0);
});
