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
  const free = new NodeResources({ NanoCPUs: 4e9, MemoryBytes: 300 });
  assert.equal(free.room({ NanoCPUs: 1e9, MemoryBytes: 100 }), 3);
  assert.equal(free.room({ NanoCPUs: 1.5e9 }), 2);
  assert.equal(free.room({}), Infinity);
  assert.equal(free.room({ NanoCPUs: 5e9 }), 0);
});

Deno.test("NodeResources: taking and giving back are opposites, below zero too", () => {
  const free = new NodeResources({ NanoCPUs: 1e9 });
  const heavy = task({ NanoCPUs: 2e9 });
  free.take(heavy);
  assert.equal(free.room({ NanoCPUs: 1 }), 0);
  free.give(heavy);
  assert.equal(free.room({ NanoCPUs: 1e9 }), 1);
});

Deno.test("NodeResources: named resources are never given out twice (67)", () => {
  const free = new NodeResources({ GenericResources: gpus });
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
  const free = new NodeResources({ GenericResources: [{ DiscreteResourceSpec: { Kind: "gpu", Value: 3 } }] });
  const held = task(wants(2), free.choose(wants(2)));
  free.take(held);
  assert.equal(free.room(wants(1)), 1);
  free.give(held);
  assert.equal(free.room(wants(1)), 3);
});

Deno.test("NodeResources: a resource of no kind, which an earlier version stored, counts for nothing", () => {
  const GenericResources = [{}, ...gpus] as GenericResource[];
  const free = new NodeResources({ GenericResources });
  assert.equal(free.room({ GenericResources }), 3);
  assert.deepEqual(free.choose({ GenericResources: [{}] as GenericResource[] }), []);
  const odd = task({}, GenericResources);
  assert.equal(free.fits(odd), true);
  free.take(odd);
  assert.equal(free.room(wants(1)), 0);
  free.give(odd);
  assert.equal(free.room(wants(1)), 3);
});
