/** An object that the code cannot handle is set aside, and all others have their turn, with this leader and the next. */
import assert from "node:assert/strict";
import type { GenericResource } from "../../../api/objects.ts";
import type { AllocationVoter } from "../../../manager/allocator/mod.ts";
import { Allocator } from "../../../manager/allocator/mod.ts";
import { Fleet } from "./harness.ts";

/** No list: whoever goes through it throws. */
const ODD = 7 as unknown as GenericResource[];
/** No text: whoever parses it throws. */
const ODD_CONSTRAINTS = { Placement: { Constraints: [7] as unknown as string[] } };

/** Puts a plain service beside `make`'s odd ones, and again with the next leader. */
async function goesOn(fleet: Fleet, nodes: number): Promise<void> {
  for (const round of [1, 2]) {
    const web = await fleet.replicated(`web-${round}`, 2);
    const probe = await fleet.global(`probe-${round}`);
    await fleet.clock.advance(2000);
    assert.equal(fleet.running(web).length, 2, `round ${round}`);
    assert.equal(fleet.running(probe).length, nodes, `round ${round}`);
    await fleet.agents.report(fleet.running(web)[0]!.ID, "failed");
    await fleet.release(probe, "v2");
    await fleet.clock.advance(30_000);
    assert.equal(fleet.running(web).length, 2, `round ${round}, after a failure`);
    assert.deepEqual(fleet.versions(probe), { v2: nodes });
    await fleet.stepDown();
    fleet.lead();
    await fleet.clock.advance(0);
  }
}

Deno.test("Odd objects: a node whose resources cannot be read gets no tasks, the others do", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  await fleet.node("odd", { resources: { GenericResources: ODD } });
  await goesOn(fleet, 2);
  await fleet.setNode("odd", (node) => ({ ...node, Description: { ...node.Description!, Resources: {} } }));
  await fleet.clock.advance(2000);
  assert.equal(fleet.running("probe-1-id").length, 3, "once it can be read it has its turn");
});

Deno.test("Odd objects: a node that becomes unreadable while it works holds up nobody", async () => {
  await using fleet = await Fleet.of(["a", "b", "odd"]);
  const early = await fleet.replicated("early", 3);
  await fleet.setNode("odd", (node) => ({
    ...node,
    Description: { ...node.Description!, Resources: { GenericResources: ODD } },
  }));
  await goesOn(fleet, 2);
  assert.equal(fleet.running(early).length, 3);
});

Deno.test("Odd objects: a service whose reservations cannot be read waits, with the reason in its tasks' status", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const template = { Resources: { Reservations: { GenericResources: ODD } } };
  const odd = await fleet.replicated("odd", 2, { template });
  const oddProbe = await fleet.global("odd-probe", { template });
  await goesOn(fleet, 2);
  for (const id of [odd, oddProbe]) {
    assert.equal(fleet.wanted(id).length, 2);
    for (const { Status } of fleet.wanted(id)) {
      assert.equal(Status.State, "pending");
      assert.match(Status.Err ?? "", /cannot be judged: /);
    }
  }
  await fleet.template(odd, { Resources: {} });
  await fleet.clock.advance(10_000);
  assert.equal(fleet.running(odd).length, 2, "mended, it has its turn");
});

Deno.test("Odd objects: services whose constraints cannot be read hold up no other", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  await fleet.replicated("odd", 2, { template: ODD_CONSTRAINTS });
  await fleet.global("odd-probe", { template: ODD_CONSTRAINTS });
  await goesOn(fleet, 2);
});

Deno.test("Odd objects: constraints that become unreadable under a running service hold up no other", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const odd = await fleet.replicated("odd", 2);
  const oddProbe = await fleet.global("odd-probe");
  for (const id of [odd, oddProbe]) await fleet.template(id, ODD_CONSTRAINTS);
  // Every node changes, so that whoever judges tasks by their node judges all of them.
  for (const id of ["a", "b"]) {
    await fleet.setNode(id, (node) => ({ ...node, Spec: { ...node.Spec, Labels: { room: "2" } } }));
  }
  await goesOn(fleet, 2);
});

Deno.test("Odd objects: a task that a voter cannot judge says so, and the others are allocated", async () => {
  await using fleet = new Fleet();
  await fleet.node("a");
  fleet.lead();
  await fleet.clock.advance(0);
  const { store, clock, random } = fleet;
  await fleet.stepDown();
  const voter: AllocationVoter = {
    name: "network",
    vote: (task) => {
      if (task.Slot === 2) throw new Error("no such network");
      return { grant: {} };
    },
  };
  fleet.lead(undefined, () => new Allocator({ store, clock, random }, [voter]));
  const web = await fleet.replicated("web", 3);
  assert.deepEqual(fleet.slots(web), [1, 3]);
  const odd = fleet.all(web).find(({ Slot }) => Slot === 2)!;
  assert.equal(odd.Status.State, "new");
  assert.equal(odd.Status.Err, "allocator: no such network");
});
