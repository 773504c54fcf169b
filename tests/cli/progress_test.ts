import assert from "node:assert/strict";
import type { NodeView, ServiceView, TaskView } from "../../cli/api_types.ts";
import type { TaskState } from "../../api/task_state.ts";
import { progressLine, progressOf } from "../../cli/progress.ts";

const meta = { Version: { Index: 1 }, CreatedAt: "2026-01-01T00:00:00Z", UpdatedAt: "2026-01-01T00:00:00Z" };
const template = { Runtime: "container", ForceUpdate: 0, ContainerSpec: { Image: "busybox:2" } };

function service(mode: ServiceView["Spec"]["Mode"], extra: Partial<ServiceView> = {}): ServiceView {
  return {
    ...meta,
    ID: "s",
    Spec: { Name: "web", Labels: {}, TaskTemplate: template, Mode: mode },
    SpecVersion: { Index: 1 },
    ...extra,
  };
}

function task(slot: number, state: TaskState, extra: Partial<TaskView> = {}): TaskView {
  return {
    ...meta,
    ID: `t${slot}${state}`,
    Spec: template,
    ServiceID: "s",
    Slot: slot,
    NodeID: `n${slot}`,
    ServiceAnnotations: { Name: "web", Labels: {} },
    Status: { Timestamp: meta.CreatedAt, State: state, Message: state },
    DesiredState: "running",
    ...extra,
  };
}

const node = (id: string, state: "ready" | "down") =>
  ({
    ...meta,
    ID: id,
    Status: { State: state, Addr: "" },
    Description: { Hostname: `pi-${id}` },
  }) as unknown as NodeView;

Deno.test("Progress: a replicated service has converged when every slot runs the present spec", () => {
  const mode = { Replicated: { Replicas: 2 } };
  assert.equal(progressOf(service(mode), [task(1, "running"), task(2, "running")], []).converged, true);
  const old = task(2, "running", { Spec: { ...template, ContainerSpec: { Image: "busybox:1" } } });
  assert.equal(progressOf(service(mode), [task(1, "running"), old], []).converged, false);
});

Deno.test("Progress: a pending task shows its reason", () => {
  const pending = task(2, "pending");
  pending.Status.Err = "no suitable node (insufficient resources on 1 node)";
  const progress = progressOf(service({ Replicated: { Replicas: 2 } }), [task(1, "running"), pending], []);
  assert.equal(
    progressLine(progress),
    "overall progress: 1 out of 2 tasks   [2: pending, no suitable node (insufficient resources on 1 node)]",
  );
});

Deno.test("Progress: a message that only repeats the state is left out", () => {
  const starting = { ...task(1, "starting"), Status: { ...task(1, "starting").Status, Message: "starting" } };
  const progress = progressOf(service({ Replicated: { Replicas: 1 } }), [starting], []);
  assert.equal(progressLine(progress), "overall progress: 0 out of 1 tasks   [1: starting]");
});

Deno.test("Progress: a device that is down does not hold a global service up", () => {
  const bound = (state: TaskState, NodeID: string): TaskView => {
    const { Slot: _, ...rest } = task(0, state, { NodeID });
    return rest;
  };
  const tasks = [bound("running", "a"), bound("ready", "b")];
  const nodes = [node("a", "ready"), node("b", "down")];
  const progress = progressOf(service({ Global: {} }), tasks, nodes);
  assert.deepEqual([progress.running, progress.wanted, progress.converged], [1, 1, true]);
});

Deno.test("Progress: a restarting slot shows why the task before it ended", () => {
  const dead = task(1, "failed", { DesiredState: "shutdown", ID: "old" });
  dead.Status.Err = "task: non-zero exit (3)";
  const next = task(1, "ready", { CreatedAt: "2026-01-01T00:00:01Z" });
  const [waiting] = progressOf(service({ Replicated: { Replicas: 1 } }), [dead, next], []).waiting;
  assert.equal(waiting?.reason, "previous task failed: task: non-zero exit (3)");
});

Deno.test("Progress: a rollout shows its stage and why devices are deferred", () => {
  const bound = (NodeID: string, Args: string[]): TaskView => {
    const { Slot: _, ...rest } = task(0, "running", { NodeID });
    return { ...rest, Spec: { Runtime: "process", ForceUpdate: 0, ProcessSpec: { Command: "run", Args } } };
  };
  const view = service({ Global: {} }, {
    Spec: {
      Name: "probe",
      Labels: { "covey.rollout.stages": "10%,100%" },
      Mode: { Global: {} },
      TaskTemplate: bound("a", ["v2"]).Spec,
    },
    UpdateStatus: {
      State: "updating",
      Message: "",
      Rollout: {
        ...{
          Number: 1,
          SpecVersion: 1,
          State: "baking",
          Stage: 0,
          StageStartedAt: "",
          Total: 2,
          Done: 1,
          Failed: 0,
        },
        Failures: [],
        Deferred: 1,
        Returned: { Total: 0, Failed: 0 },
      },
    },
  });
  const tasks = [bound("a", ["v2"]), bound("b", ["v1"]), bound("c", ["v1"])];
  const nodes = [node("a", "ready"), node("b", "ready"), node("c", "down")];
  assert.equal(
    progressLine(progressOf(view, tasks, nodes)),
    "overall progress: 1 out of 2 tasks (stage 1 of 2, baking)   [pi-b: running, has the old version; pi-c: deferred, node is down]",
  );
});

const JobStatus = { JobIteration: { Index: 1 }, LastExecution: meta.CreatedAt };

/** A task of the job's present run. */
function jobTask(slot: number, state: TaskState, extra: Partial<TaskView> = {}): TaskView {
  return task(slot, state, { DesiredState: "complete", JobIteration: { Index: 1 }, ...extra });
}

Deno.test("Progress: a job has converged when all of it completed in its present run", () => {
  const job = service({ ReplicatedJob: { MaxConcurrent: 1, TotalCompletions: 2 } }, { JobStatus });
  const before = jobTask(1, "complete", { ID: "before", JobIteration: { Index: 0 } });
  const half = progressOf(job, [jobTask(0, "complete"), before, jobTask(1, "running")], []);
  assert.equal(progressLine(half), "overall progress: 1 out of 2 tasks   [1: running]");
  assert.equal(half.converged, false);
  const all = progressOf(job, [jobTask(0, "complete"), before, jobTask(1, "complete")], []);
  assert.deepEqual([all.running, all.converged, all.stopped], [2, true, undefined]);
  assert.equal(progressOf(job, [], []).converged, false);
});

Deno.test("Progress: a job that cannot complete any more says which task failed and why", () => {
  const job = service({ ReplicatedJob: { MaxConcurrent: 1, TotalCompletions: 2 } }, { JobStatus });
  const failed = jobTask(0, "failed", { DesiredState: "shutdown" });
  failed.Status.Err = "task: non-zero exit (3)";
  assert.equal(progressOf(job, [failed, jobTask(1, "running")], []).stopped, undefined);
  assert.equal(
    progressOf(job, [failed, jobTask(1, "complete")], []).stopped,
    "1 of 2 tasks completed, task 0 failed: task: non-zero exit (3)",
  );
  const restarted = jobTask(0, "preparing", { ID: "second", DesiredState: "ready" });
  assert.equal(progressOf(job, [failed, restarted, jobTask(1, "complete")], []).stopped, undefined);
});

Deno.test("Progress: a global job does not wait for a node that is down", () => {
  const job = service({ GlobalJob: {} }, { JobStatus });
  const on = (id: string, state: TaskState) => {
    const { Slot: _, ...bound } = jobTask(1, state, { ID: id, NodeID: id });
    return bound;
  };
  const nodes = [node("up", "ready"), node("off", "down")];
  const seen = progressOf(job, [on("up", "complete"), on("off", "running")], nodes);
  assert.deepEqual([seen.running, seen.wanted, seen.converged], [1, 1, true]);
  assert.equal(progressOf(job, [on("up", "running")], nodes).converged, false);
});
