import assert from "node:assert/strict";
import type { RolloutStage } from "../../../api/rollout.ts";
import type { Task } from "../../../api/task.ts";
import { controlRollout, type RolloutAction, rolloutView } from "../../../manager/control/rollouts.ts";
import { updateService } from "../../../manager/control/services.ts";
import { Fleet, type ServiceOptions, versionOf } from "../orchestrator/harness.ts";

const SECOND = 1e9;

/** Twenty devices, four of them in the early ring, with a service that is rolled out in `stages`. */
async function staged(
  stages: RolloutStage[],
  bad: (task: Task) => boolean = () => false,
  options: ServiceOptions = {},
): Promise<{ fleet: Fleet; id: string; control: (action: RolloutAction) => Promise<void> }> {
  const fleet = new Fleet((task) => bad(task) ? "failed" : "running");
  for (let i = 0; i < 20; i++) {
    await fleet.node(`d${i}`, { labels: i < 4 ? { ring: "early" } : {} });
  }
  fleet.lead();
  await fleet.clock.advance(0);
  const UpdateConfig = { Parallelism: 0, Rollout: { Stages: stages }, ...options.UpdateConfig };
  const id = await fleet.global("probe", { ...options, UpdateConfig });
  const control = async (action: RolloutAction) => {
    await controlRollout(fleet.store, fleet.clock, id, action);
    await fleet.clock.advance(0);
  };
  return { fleet, id, control };
}

const isNew = (task: Task) => versionOf(task) === "v2";
/** Devices that have ever had a task of v2. */
const reached = (fleet: Fleet, id: string) => new Set(fleet.all(id).filter(isNew).map((task) => task.NodeID));
const state = (fleet: Fleet, id: string) => fleet.service(id).UpdateStatus!.Rollout!.State;

Deno.test("Rollout: goes from stage to stage, each watched and baked before the next", async () => {
  const { fleet, id } = await staged([
    { Percent: 5, Bake: 60 * SECOND },
    { Constraint: "node.labels.ring==early" },
    { Percent: 100 },
  ]);
  await using _ = fleet;
  await fleet.release(id, "v2");
  await fleet.clock.advance(30_000);
  assert.deepEqual(fleet.versions(id), { "": 19, v2: 1 });
  assert.equal(state(fleet, id), "baking");
  await fleet.clock.advance(37_000);
  const second = reached(fleet, id);
  assert.ok(second.size === 4 || second.size === 5, `${second.size} are reached`);
  for (const early of ["d0", "d1", "d2", "d3"]) assert.ok(second.has(early));
  await fleet.clock.advance(20_000);
  assert.deepEqual(fleet.versions(id), { v2: 20 });
  const { State, Rollout } = fleet.service(id).UpdateStatus!;
  assert.equal(State, "completed");
  assert.deepEqual([Rollout!.Total, Rollout!.Done, Rollout!.Failed, Rollout!.Stage], [20, 20, 0, 2]);
});

Deno.test("Rollout: a bad version never gets past the canary, whoever leads, crashes, joins or returns", async () => {
  const { fleet, id, control } = await staged([{ Percent: 10 }, { Percent: 100 }], isNew, {
    template: { RestartPolicy: { Delay: SECOND } },
  });
  await using _ = fleet;
  await fleet.state("d7", "down");
  await fleet.release(id, "v2");
  await fleet.clock.advance(10_000);
  assert.equal(state(fleet, id), "paused");
  assert.equal(reached(fleet, id).size, 2);
  await fleet.state("d7", "ready");
  await fleet.node("newcomer");
  const old = fleet.running(id).find((task) => !isNew(task) && task.NodeID !== "d7")!;
  await fleet.agents.report(old.ID, "failed");
  await fleet.clock.advance(60_000);
  await fleet.stepDown();
  fleet.lead();
  await fleet.clock.advance(60_000);
  assert.equal(reached(fleet, id).size, 2);
  assert.deepEqual(fleet.versions(id), { "": 19 });
  await control("abort");
  await fleet.clock.advance(120_000);
  assert.equal(reached(fleet, id).size, 2);
});

Deno.test("Rollout: waits for somebody to promote it, once", async () => {
  const { fleet, id, control } = await staged([{ Percent: 10, Promotion: "manual" }, { Percent: 100 }]);
  await using _ = fleet;
  await fleet.release(id, "v2");
  await assert.rejects(
    control("promote"),
    /^CoveyError: Cannot promote the rollout of probe: stage 1 is rolling$/,
  );
  await fleet.clock.advance(3_600_000);
  assert.equal(state(fleet, id), "awaiting_promotion");
  assert.equal(fleet.service(id).UpdateStatus!.State, "updating");
  const { index } = fleet.store;
  await fleet.clock.advance(3_600_000);
  assert.equal(fleet.store.index, index, "idle means no writes");
  assert.equal(reached(fleet, id).size, 2);
  await control("promote");
  await assert.rejects(control("promote"), /stage 2 is rolling$/);
  await fleet.clock.advance(20_000);
  assert.deepEqual(fleet.versions(id), { v2: 20 });
  for (
    const [action, why] of [["promote", "completed"], ["abort", "completed"], [
      "resume",
      "completed",
    ]] as const
  ) {
    await assert.rejects(control(action), new RegExp(`Cannot ${action} the rollout of probe: it is ${why}$`));
  }
});

Deno.test("Rollout: pause and abort act at once, also where a device is stuck; an abort is final", async () => {
  const { fleet, id, control } = await staged([{ Percent: 100 }], undefined, {
    UpdateConfig: { Parallelism: 3 },
  });
  await using _ = fleet;
  fleet.agents.fate = (task) => isNew(task) ? undefined : "running";
  await fleet.release(id, "v2");
  await fleet.clock.advance(60_000);
  assert.equal(reached(fleet, id).size, 3);
  await control("pause");
  assert.equal(fleet.service(id).UpdateStatus!.State, "paused");
  fleet.agents.fate = () => "running";
  fleet.agents.kick();
  await fleet.clock.advance(60_000);
  assert.equal(reached(fleet, id).size, 3);
  await control("resume");
  await fleet.clock.advance(3_000);
  assert.ok(reached(fleet, id).size > 3);
  await control("abort");
  const atAbort = reached(fleet, id).size;
  for (const action of ["promote", "pause", "resume", "abort", "retry"] as const) {
    await assert.rejects(
      control(action),
      /it was aborted, which is final; update the service to begin another$/,
    );
  }
  await fleet.stepDown();
  fleet.lead();
  await fleet.clock.advance(3_600_000);
  assert.equal(reached(fleet, id).size, atAbort);
  await fleet.release(id, "v3");
  await fleet.clock.advance(60_000);
  assert.deepEqual(fleet.versions(id), { v3: 20 });
});

Deno.test("Rollout: a newer spec takes over at once from one that is stuck", async () => {
  const { fleet, id } = await staged([{ Percent: 10 }, { Percent: 100 }]);
  await using _ = fleet;
  fleet.agents.fate = (task) => isNew(task) ? undefined : "running";
  await fleet.release(id, "v2");
  await fleet.clock.advance(60_000);
  await fleet.release(id, "v3");
  await fleet.clock.advance(60_000);
  assert.deepEqual(fleet.versions(id), { v3: 20 });
});

Deno.test("Rollout: a stage that takes too long stops, in words of its own, and can be resumed", async () => {
  const { fleet, id, control } = await staged([{ Percent: 10, Timeout: 60 * SECOND }, { Percent: 100 }]);
  await using _ = fleet;
  fleet.agents.fate = (task) => isNew(task) ? undefined : "running";
  await fleet.release(id, "v2");
  await fleet.clock.advance(61_000);
  assert.equal(state(fleet, id), "timed_out");
  const { State, Message } = fleet.service(id).UpdateStatus!;
  assert.deepEqual([State, Message], [
    "paused",
    "update timed out because stage 1 took longer than its timeout",
  ]);
  fleet.agents.fate = () => "running";
  fleet.agents.kick();
  await control("resume");
  await fleet.clock.advance(60_000);
  assert.equal(state(fleet, id), "completed");
});

Deno.test("Rollout: with rollback, a failed canary brings its devices back", async () => {
  const { fleet, id } = await staged([{ Percent: 10 }, { Percent: 100 }], isNew, {
    UpdateConfig: {
      Parallelism: 0,
      FailureAction: "rollback",
      Rollout: { Stages: [{ Percent: 10 }, { Percent: 100 }] },
    },
  });
  await using _ = fleet;
  await fleet.release(id, "v2");
  await fleet.clock.advance(60_000);
  assert.equal(fleet.service(id).UpdateStatus!.State, "rollback_completed");
  assert.equal(reached(fleet, id).size, 2);
  assert.deepEqual(fleet.versions(id), { "": 20 });
});

Deno.test("Rollout: a failure while a stage bakes stops it", async () => {
  const { fleet, id } = await staged([{ Percent: 10, Bake: 600 * SECOND }, { Percent: 100 }]);
  await using _ = fleet;
  await fleet.release(id, "v2");
  await fleet.clock.advance(300_000);
  assert.equal(state(fleet, id), "baking");
  await fleet.agents.report(fleet.running(id).find(isNew)!.ID, "failed");
  await fleet.clock.advance(600_000);
  assert.equal(state(fleet, id), "paused");
  assert.equal(reached(fleet, id).size, 2);
});

Deno.test("Rollout: the failure threshold of a stage is tolerated; retry tries the failed devices once more", async () => {
  let bad = true;
  const { fleet, id, control } = await staged(
    [{ Percent: 10, FailureThreshold: 0.5 }, { Percent: 100, FailureThreshold: 0.2 }],
    (task) => bad && isNew(task) && task.NodeID === "d5",
    { template: { RestartPolicy: { Condition: "none" } } },
  );
  await using _ = fleet;
  await fleet.release(id, "v2");
  await fleet.clock.advance(60_000);
  assert.equal(state(fleet, id), "completed");
  assert.deepEqual(fleet.versions(id), { v2: 19 });
  assert.deepEqual(fleet.service(id).UpdateStatus!.Rollout!.Failures.map(({ Place }) => Place), ["d5"]);
  bad = false;
  await control("retry");
  await fleet.clock.advance(60_000);
  assert.deepEqual(fleet.versions(id), { v2: 20 });
  assert.equal(fleet.service(id).UpdateStatus!.Rollout!.Failed, 0);
  assert.equal(fleet.service(id).UpdateStatus!.Rollout!.Retry, undefined);
  await assert.rejects(control("retry"), /nothing has failed$/);
});

Deno.test("Rollout: devices that are away are shown with the reason, and a pause after the end holds them", async () => {
  const { fleet, id, control } = await staged([{ Percent: 50 }, { Percent: 100 }]);
  await using _ = fleet;
  await fleet.state("d1", "down");
  await fleet.availability("d2", "pause");
  await fleet.release(id, "v2");
  await fleet.clock.advance(60_000);
  assert.equal(state(fleet, id), "completed");
  const shown = rolloutView(fleet.store, fleet.service(id), fleet.clock.now());
  assert.deepEqual(shown.DeferredPlaces, [
    { Place: "d1", Reason: "its node is not reachable" },
    { Place: "d2", Reason: "its node is paused" },
  ]);
  assert.deepEqual([shown.Total, shown.Done, shown.Deferred], [18, 18, 2]);
  await control("pause");
  await fleet.state("d1", "ready");
  await fleet.clock.advance(60_000);
  assert.deepEqual(fleet.versions(id), { v2: 18, "": 2 });
  await control("resume");
  await fleet.availability("d2", "active");
  await fleet.clock.advance(60_000);
  assert.deepEqual(fleet.versions(id), { v2: 20 });
  assert.deepEqual(fleet.service(id).UpdateStatus!.Rollout!.Returned, { Total: 2, Failed: 0 });
});

Deno.test("Rollout: a canary that vanishes proves nothing, and no other device takes its place", async () => {
  const { fleet, id } = await staged([{ Percent: 5 }, { Percent: 100 }]);
  await using _ = fleet;
  fleet.agents.fate = (task) => isNew(task) ? undefined : "running";
  await fleet.release(id, "v2");
  await fleet.clock.advance(1000);
  const [canary] = reached(fleet, id);
  await fleet.state(canary!, "down");
  await fleet.clock.advance(600_000);
  assert.deepEqual(reached(fleet, id), new Set([canary]));
  assert.equal(state(fleet, id), "rolling");
  fleet.agents.fate = () => "running";
  await fleet.state(canary!, "ready");
  await fleet.clock.advance(60_000);
  assert.equal(state(fleet, id), "completed");
});

/** A version that fails is rolled out `how`, then others by stages; one device joins. */
async function afterFailed(how: "by stages" | "at once"): Promise<void> {
  const Rollout = { Stages: [{ Percent: 10 }, { Percent: 100 }] };
  const { fleet, id } = await staged(
    Rollout.Stages,
    (task) => versionOf(task) !== "" && task.NodeID !== "joins",
  );
  await using _ = fleet;
  const update = async (version: string, FailureAction: "pause" | "rollback") => {
    const service = fleet.service(id);
    const ProcessSpec = { Command: "run", Args: [version] },
      isByStages = how === "by stages" || version !== "v2";
    await updateService(fleet.store, fleet.clock, id, service.Version.Index, {
      ...service.Spec,
      TaskTemplate: { ...service.Spec.TaskTemplate, ProcessSpec },
      UpdateConfig: { Parallelism: 0, FailureAction, ...(isByStages && { Rollout }) },
    });
    await fleet.clock.advance(10_000);
  };
  await update("v2", "pause");
  await update("v3", "pause");
  await fleet.node("joins");
  await fleet.clock.advance(10_000);
  assert.equal(versionOf(fleet.running(id).find(({ NodeID }) => NodeID === "joins")!), "");
  await update("v4", "rollback");
  await fleet.clock.advance(60_000);
  assert.equal(fleet.service(id).UpdateStatus!.State, "rollback_completed");
  assert.deepEqual(fleet.versions(id), { "": 21 });
}

Deno.test("Rollout: who joins gets, and a failed update goes back to, the last spec that went through all stages", () =>
  afterFailed("by stages"));

Deno.test("Rollout: a version that was overtaken before it began is none to give to who joins", async () => {
  const { fleet, id } = await staged([{ Percent: 10 }, { Percent: 100 }], (task) => versionOf(task) === "v3");
  await using _ = fleet;
  for (const version of ["v2", "v3"]) {
    const { Version, Spec } = fleet.service(id), ProcessSpec = { Command: "run", Args: [version] };
    await updateService(fleet.store, fleet.clock, id, Version.Index, {
      ...Spec,
      TaskTemplate: { ...Spec.TaskTemplate, ProcessSpec },
    });
  }
  assert.equal(fleet.service(id).Proven?.Spec.TaskTemplate.ProcessSpec?.Args?.[0] ?? "", "");
  assert.notEqual(fleet.service(id).Proven, undefined);
});

Deno.test("Rollout: a version that failed without stages is none to give to who joins, or to go back to", () =>
  afterFailed("at once"));

Deno.test("Rollout: without a device that holds the version it is not over, and who comes back is reached stage by stage", async () => {
  const { fleet, id } = await staged([{ Percent: 1 }, { Percent: 100 }], isNew);
  await using _ = fleet;
  for (let i = 1; i < 20; i++) await fleet.availability(`d${i}`, "drain");
  await fleet.clock.advance(10_000);
  fleet.agents.fate = (task) => isNew(task) ? undefined : "running";
  await fleet.release(id, "v2");
  await fleet.clock.advance(1000);
  assert.deepEqual([...reached(fleet, id)], ["d0"]);
  await fleet.state("d0", "down");
  await fleet.availability("d0", "drain");
  await fleet.clock.advance(60_000);
  assert.equal(state(fleet, id), "rolling");
  fleet.agents.fate = (task) => isNew(task) ? "failed" : "running";
  for (const name of ["d1", "d2", "d3"]) await fleet.availability(name, "active");
  await fleet.clock.advance(60_000);
  assert.equal(reached(fleet, id).size, 2, "the one that left, and one canary");
  assert.equal(state(fleet, id), "paused");
});

Deno.test("Rollout: a device that is drained with the version of the stage, and dies, gets it after its return", async () => {
  const { fleet, id } = await staged([{ Percent: 10 }, { Percent: 100, FailureThreshold: 0.3 }]);
  await using _ = fleet;
  // One that is away keeps the last stage from its end.
  fleet.agents.fate = (task) => isNew(task) && task.NodeID === "d19" ? undefined : "running";
  await fleet.release(id, "v2");
  await fleet.clock.advance(20_000);
  const lost = fleet.all(id).find((task) => task.NodeID === "d10" && isNew(task))!;
  await fleet.state("d10", "down");
  await fleet.availability("d10", "drain");
  await fleet.clock.advance(0);
  await fleet.store.update((tx) => {
    const task = tx.get("tasks", lost.ID)!;
    tx.update("tasks", { ...task, Status: { ...task.Status, State: "failed" } });
  });
  await fleet.clock.advance(1000);
  assert.equal(state(fleet, id), "rolling");
  await fleet.state("d10", "ready");
  await fleet.availability("d10", "active");
  await fleet.clock.advance(60_000);
  assert.deepEqual(fleet.wanted(id).filter(({ NodeID }) => NodeID === "d10").map(versionOf), ["v2"]);
  assert.deepEqual(fleet.service(id).UpdateStatus!.Rollout!.Failures, []);
});
