/** Variables of the fleet, of sites and of devices: who has which value, and how a change of one is rolled out. */
import assert from "node:assert/strict";
import type { Task } from "../../../api/task.ts";
import type { UpdateConfig } from "../../../api/service.ts";
import { parseVariablesChange } from "../../../api/validate/mod.ts";
import { changeVariables, requireVariables } from "../../../manager/control/variables.ts";
import { Fleet } from "../orchestrator/harness.ts";

const USES = (args: string) => ({ ProcessSpec: { Command: "run", Args: ["{{.Var.x}}", args] } });

/** Six devices in two sites, one of them with a value of its own, and a service that uses `x`. */
async function withSites(UpdateConfig: UpdateConfig, bad: (task: Task) => boolean = () => false) {
  const fleet = new Fleet((task) => bad(task) ? "failed" : "running");
  for (let i = 0; i < 6; i++) {
    const labels = { site: i < 3 ? "Attic" : "barn", ...(i === 5 && { "var.x": "own" }) };
    await fleet.node(`d${i}`, { labels });
  }
  fleet.lead();
  const change = (body: object) =>
    changeVariables(fleet.store, fleet.random, parseVariablesChange(body)).finally(() =>
      fleet.clock.advance(0)
    );
  await change({ Set: { x: "fleet" } });
  const id = await fleet.global("app", { template: USES(""), UpdateConfig });
  await fleet.clock.advance(1000);
  return { fleet, id, change };
}

const valuesOf = (fleet: Fleet, id: string) =>
  fleet.running(id).sort((a, b) => a.NodeID < b.NodeID ? -1 : 1).map(({ Variables }) => Variables!.x);

Deno.test("Variables: a device's own value counts before its site's, and that before the fleet's", async () => {
  const { fleet, id, change } = await withSites({ Parallelism: 0 });
  await using _ = fleet;
  assert.deepEqual(valuesOf(fleet, id), ["fleet", "fleet", "fleet", "fleet", "fleet", "own"]);
  await change({ Site: "attic", Set: { x: "attic" } });
  await fleet.clock.advance(10_000);
  assert.deepEqual(valuesOf(fleet, id), ["attic", "attic", "attic", "fleet", "fleet", "own"]);
  // One that is gone for a node stops nothing: what has it keeps it.
  await fleet.setNode("d5", (node) => ({ ...node, Spec: { ...node.Spec, Labels: { site: "attic" } } }));
  await fleet.clock.advance(10_000);
  assert.deepEqual(valuesOf(fleet, id), ["attic", "attic", "attic", "fleet", "fleet", "attic"]);
});

Deno.test("Variables: a change is rolled out under the update policy, to those whose value differs only", async () => {
  const { fleet, id, change } = await withSites({ Parallelism: 1, Delay: 10e9 });
  await using _ = fleet;
  const before = new Set(fleet.all(id).map(({ ID }) => ID));
  assert.deepEqual(await change({ Set: { x: "new", unused: "1" } }), { Updated: ["app"], Paused: [] });
  assert.equal(fleet.service(id).UpdateStatus?.State, "updating");
  await fleet.clock.advance(5000);
  assert.equal(valuesOf(fleet, id).filter((value) => value === "new").length, 1);
  await fleet.clock.advance(120_000);
  assert.deepEqual(valuesOf(fleet, id), ["new", "new", "new", "new", "new", "own"]);
  assert.equal(fleet.service(id).UpdateStatus?.State, "completed");
  assert.equal(fleet.all(id).filter(({ ID }) => !before.has(ID)).length, 5);
  // The same again, and what nobody uses, changes nothing.
  assert.deepEqual(await change({ Set: { x: "new", unused: "2" } }), { Updated: [], Paused: [] });
  const { index } = fleet.store;
  await fleet.clock.advance(60_000);
  assert.equal(fleet.store.index, index, "idle means no writes");
});

Deno.test("Variables: a bad value stops at the first stage, whoever leads, crashes or returns; an older spec does not come back", async () => {
  const { fleet, id, change } = await withSites(
    { Parallelism: 0, FailureAction: "rollback", Rollout: { Stages: [{ Percent: 20 }, { Percent: 100 }] } },
    ({ Variables }) => Variables?.x === "bad",
  );
  await using _ = fleet;
  await fleet.template(id, USES("v2"));
  await fleet.clock.advance(60_000);
  await change({ Set: { x: "bad" } });
  await fleet.clock.advance(30_000);
  assert.equal(fleet.service(id).UpdateStatus?.State, "paused");
  const hit = () =>
    new Set(fleet.all(id).filter((task) => task.Variables?.x === "bad").map((task) => task.NodeID));
  const [first] = hit();
  assert.equal(hit().size, 1);
  const other = fleet.running(id).find(({ NodeID, Variables }) =>
    NodeID !== first && Variables!.x === "fleet"
  )!;
  await fleet.agents.report(other.ID, "failed");
  await fleet.clock.advance(30_000);
  await fleet.stepDown();
  fleet.lead();
  await fleet.clock.advance(60_000);
  assert.equal(hit().size, 1);
  assert.ok(fleet.running(id).every(({ Spec }) => Spec.ProcessSpec!.Args![1] === "v2"));
  assert.ok(fleet.running(id).some(({ NodeID }) => NodeID === other.NodeID));
  // Whoever puts the value right goes on with that.
  assert.deepEqual(await change({ Set: { x: "good" } }), { Updated: ["app"], Paused: [] });
  await fleet.clock.advance(60_000);
  assert.equal(fleet.service(id).UpdateStatus?.State, "completed");
  assert.deepEqual(valuesOf(fleet, id), ["good", "good", "good", "good", "good", "own"]);
});

Deno.test("Variables: an update of the spec that is paused stays so, whatever value changes", async () => {
  const { fleet, id, change } = await withSites(
    { Parallelism: 1 },
    ({ Spec }) => Spec.ProcessSpec!.Args![1] === "v2",
  );
  await using _ = fleet;
  await fleet.template(id, USES("v2"));
  await fleet.clock.advance(60_000);
  assert.equal(fleet.service(id).UpdateStatus?.State, "paused");
  assert.deepEqual(await change({ Set: { x: "good" } }), { Updated: [], Paused: ["app"] });
  await fleet.clock.advance(60_000);
  assert.equal(fleet.service(id).UpdateStatus?.State, "paused");
  assert.ok(!valuesOf(fleet, id).includes("good"));
});

Deno.test("Variables: a slot's task gets the value of the node that is chosen, and follows when the node moves", async () => {
  const { fleet, change } = await withSites({ Parallelism: 0 });
  await using _ = fleet;
  await change({ Site: "attic", Set: { y: "1" } });
  const spec = { ProcessSpec: { Command: "run", Env: ["Y={{.Var.y}}"] } };
  const id = await fleet.replicated("few", 2, { template: spec });
  await fleet.clock.advance(1000);
  // Nodes without a value take no part.
  assert.deepEqual(fleet.running(id).map(({ Variables }) => Variables), [{ y: "1" }, { y: "1" }]);
  assert.ok(fleet.running(id).every(({ NodeID }) => ["d0", "d1", "d2"].includes(NodeID)));
  const [task] = fleet.running(id);
  await fleet.setNode(
    task!.NodeID,
    (node) => ({ ...node, Spec: { ...node.Spec, Labels: { ...node.Spec.Labels, "var.y": "2" } } }),
  );
  await fleet.clock.advance(30_000);
  assert.equal(fleet.running(id).length, 2);
  assert.ok(
    fleet.running(id).every(({ NodeID, Variables }) =>
      Variables!.y === (NodeID === task!.NodeID ? "2" : "1")
    ),
  );
});

Deno.test("Variables: a task without a value waits and names the variable; one that comes lets it go on", async () => {
  const { fleet, change } = await withSites({ Parallelism: 0 });
  await using _ = fleet;
  const id = await fleet.global("lost", {
    template: { ProcessSpec: { Command: "run", Env: ["A={{.Var.nowhere}}"] } },
  });
  const errors = () => new Set(fleet.wanted(id).map(({ Status }) => Status.Err));
  assert.deepEqual(errors(), new Set(["no value for variable nowhere on 1 node"]));
  await change({ Site: "ATTIC", Set: { nowhere: "here" } });
  await fleet.clock.advance(1000);
  assert.equal(fleet.running(id).length, 3);
});

Deno.test("Variables: what nobody has is refused with the spec, and the last value of one in use stays", async () => {
  const { fleet, change } = await withSites({ Parallelism: 0 });
  await using _ = fleet;
  const spec = (name: string) => ({
    ...USES(""),
    ForceUpdate: 0,
    Runtime: "process",
    ProcessSpec: { Command: "r", Env: [`A={{.Var.${name}}}`] },
  });
  requireVariables(fleet.store, spec("x"));
  assert.throws(() => requireVariables(fleet.store, spec("none")), /variable none not found/);
  await fleet.setNode("d5", (node) => ({ ...node, Spec: { ...node.Spec, Labels: {} } }));
  await assert.rejects(change({ Remove: ["x"] }), /variable 'x' is in use by the following service: app/);
  await assert.rejects(change({ Site: "barn", Remove: ["x"] }), { code: "not_found" });
  await change({ Site: "barn", Set: { x: "b" } });
  await change({ Remove: ["x"] });
  const wrong = { Set: { "a-b": "1", ok: "x".repeat(5000) }, Remove: ["1a", "ok"] };
  assert.throws(() => parseVariablesChange(wrong), (thrown: { problems: { field: string }[] }) => {
    const fields = thrown.problems.map(({ field }) => field);
    assert.deepEqual(new Set(fields), new Set(["Set.a-b", "Set.ok", "Remove[0]"]));
    return true;
  });
  assert.throws(() => parseVariablesChange({}), /nothing to set/);
});
