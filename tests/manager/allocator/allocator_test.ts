import assert from "node:assert/strict";
import { type AllocationVoter, Allocator } from "../../../manager/allocator/mod.ts";
import type { Vote } from "../../../manager/allocator/voter.ts";
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
  const voter: AllocationVoter = {
    name: "network",
    vote: () => free ? { grant: {} } : { wait: "nothing is free" },
  };
  const allocator = new Allocator({ store, clock, random }, [voter]);
  allocator.start();
  const task = newTask(makeService("web", { Global: {} }), { nodeID: "n" }, undefined, clock, random);
  await store.update((tx) => tx.create("tasks", task));
  await clock.advance(0);
  const { State, Message, Err } = store.get("tasks", task.ID)!.Status;
  assert.deepEqual([State, Message, Err], ["new", "created", "nothing is free"]);
  free = true;
  await store.update((tx) => tx.update("tasks", tx.get("tasks", task.ID)!));
  await clock.advance(0);
  const { Status } = store.get("tasks", task.ID)!;
  assert.deepEqual([Status.State, Status.Err], ["pending", undefined]);
  await allocator.stop();
});

Deno.test("Allocator: a task goes on when every voter agrees, with what each of them gives", async () => {
  await using fleet = new Fleet();
  const { store, clock, random } = fleet;
  const said: Record<string, Vote> = { a: { wait: "a is busy" }, b: { wait: "b is busy" } };
  const voters = Object.keys(said).map((name) => ({ name, vote: () => said[name]! }));
  const allocator = new Allocator({ store, clock, random }, voters);
  allocator.start();
  const task = newTask(makeService("web", { Global: {} }), { nodeID: "n" }, undefined, clock, random);
  await store.update((tx) => tx.create("tasks", task));
  const again = async () => {
    await store.update((tx) => tx.update("tasks", tx.get("tasks", task.ID)!));
    await clock.advance(0);
    return store.get("tasks", task.ID)!;
  };
  assert.equal((await again()).Status.Err, "a is busy; b is busy");
  said.a = { grant: { NetworkAttachments: [{ NetworkID: "net", Addresses: ["10.0.1.5/24"] }] } };
  assert.equal((await again()).Status.Err, "b is busy");
  said.b = { grant: {} };
  const { Status, NetworkAttachments } = await again();
  assert.deepEqual([Status.State, NetworkAttachments?.[0]?.NetworkID], ["pending", "net"]);
  await allocator.stop();
});
