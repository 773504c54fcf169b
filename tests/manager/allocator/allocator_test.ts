import assert from "node:assert/strict";
import { type AllocationVoter, Allocator } from "../../../manager/allocator/mod.ts";
import { newTask } from "../../../manager/task/task.ts";
import { Fleet, makeService } from "../orchestrator/harness.ts";

Deno.test("Allocator: a new task is pending at once when nobody has to vote", async () => {
  await using fleet = new Fleet();
  const { store, clock, random } = fleet;
  const service = makeService("web", { Replicated: { Replicas: 1 } });
  const [before, after] = [1, 2].map((slot) => newTask(service, { slot }, undefined, clock, random));
  await store.update((tx) => tx.create("tasks", before!));
  const allocator = new Allocator({ store, clock, random });
  allocator.start();
  await store.update((tx) => tx.create("tasks", after!));
  await clock.advance(0);
  for (const { ID } of [before!, after!]) {
    const { State, Message } = store.get("tasks", ID)!.Status;
    assert.deepEqual([State, Message], ["pending", "pending task scheduling"]);
  }
  await allocator.stop();
});

Deno.test("Allocator: one voter's no keeps a task new; it is asked again at the next change", async () => {
  await using fleet = new Fleet();
  const { store, clock, random } = fleet;
  let free = false;
  const voter: AllocationVoter = { name: "network", allocate: () => free };
  const allocator = new Allocator({ store, clock, random }, [voter]);
  allocator.start();
  const task = newTask(makeService("web", { Global: {} }), { nodeID: "n" }, undefined, clock, random);
  await store.update((tx) => tx.create("tasks", task));
  await clock.advance(0);
  assert.equal(store.get("tasks", task.ID)!.Status.State, "new");
  free = true;
  await store.update((tx) => tx.update("tasks", tx.get("tasks", task.ID)!));
  await clock.advance(0);
  assert.equal(store.get("tasks", task.ID)!.Status.State, "pending");
  await allocator.stop();
});
