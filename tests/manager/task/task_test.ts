import assert from "node:assert/strict";
import { deepEqual } from "../../../api/deep_equal.ts";
import type { TaskSpec } from "../../../api/service.ts";
import { slotKey } from "../../../api/task.ts";
import { isTaskDirty, newTask } from "../../../manager/task/task.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { testStore } from "../../support/store.ts";
import { Fleet, makeCluster, makeNode, makeService, seededRandom } from "../orchestrator/harness.ts";

const clock = new FakeClock();
const random = seededRandom();

Deno.test("newTask: carries the service's spec, version, labels and host ports", () => {
  const host = { Protocol: "tcp", TargetPort: 80, PublishedPort: 8080, PublishMode: "host" } as const;
  const ingress = { Protocol: "tcp", TargetPort: 81, PublishMode: "ingress" } as const;
  const service = makeService("web", { Replicated: { Replicas: 1 } }, {
    Labels: { team: "x" },
    EndpointSpec: { Ports: [host, ingress] },
  });
  service.SpecVersion = { Index: 7 };
  const task = newTask(service, { slot: 3 }, undefined, clock, random);
  assert.equal(task.ID.length, 25);
  assert.deepEqual(task.SpecVersion, { Index: 7 });
  assert.deepEqual(task.ServiceAnnotations, { Name: "web", Labels: { team: "x" } });
  assert.deepEqual(task.Ports, [host]);
  assert.deepEqual([task.Status.State, task.Status.Message, task.DesiredState], [
    "new",
    "created",
    "running",
  ]);
  assert.equal(slotKey(task), "web-id/3");
});

Deno.test("newTask: a global task has its node preset and no slot", () => {
  const task = newTask(makeService("web", { Global: {} }), { nodeID: "n" }, undefined, clock, random);
  assert.deepEqual([task.Slot, task.NodeID, slotKey(task)], [undefined, "n", "web-id/n"]);
});

Deno.test("isTaskDirty: same version, or same content, is clean", async () => {
  const { store } = testStore();
  const service = makeService("web", { Replicated: { Replicas: 1 } });
  const cluster = makeCluster(5);
  cluster.Spec.TaskDefaults = { LogDriver: { Name: "journald" } };
  await store.update((tx) => tx.create("clusters", cluster));
  const task = newTask(service, { slot: 1 }, cluster, clock, random);
  assert.equal(isTaskDirty(store, service, task), false);
  const later = { ...service, SpecVersion: { Index: 9 } };
  assert.equal(isTaskDirty(store, later, task), false);
  const changed = { ...later.Spec, TaskTemplate: { ...later.Spec.TaskTemplate, ForceUpdate: 1 } };
  assert.equal(isTaskDirty(store, { ...later, Spec: changed }, task), true);
});

Deno.test("isTaskDirty: an empty object, as one client writes it and another does not, replaces nothing", () => {
  const { store } = testStore(), service = makeService("web", { Replicated: { Replicas: 1 } });
  const task = newTask(service, { slot: 1 }, undefined, clock, random);
  const asked = (TaskTemplate: TaskSpec) => ({
    ...service,
    SpecVersion: { Index: 9 },
    Spec: { ...service.Spec, TaskTemplate },
  });
  const { TaskTemplate } = service.Spec,
    ContainerSpec = { Image: "busybox", Privileges: { SELinuxContext: {} } };
  const had = { ...task, Spec: { ...TaskTemplate, ContainerSpec: { Image: "busybox" } } };
  assert.equal(isTaskDirty(store, asked({ ...TaskTemplate, ContainerSpec, Placement: {} }), had), false);
  const told = { ...ContainerSpec, Privileges: { SELinuxContext: { Disable: true } } };
  assert.equal(isTaskDirty(store, asked({ ...TaskTemplate, ContainerSpec: told }), had), true);
});

Deno.test("isTaskDirty: the cluster's log driver is no part of a task's spec; a change of it replaces nothing", async () => {
  await using fleet = new Fleet();
  const cluster = makeCluster(5);
  const setDriver = (Name: string) =>
    fleet.store.update((tx) => {
      const TaskDefaults = { LogDriver: { Name } };
      tx.update("clusters", {
        ...cluster,
        ...tx.get("clusters", cluster.ID),
        Spec: { ...cluster.Spec, TaskDefaults },
      });
    });
  await fleet.store.update((tx) => tx.create("clusters", cluster));
  await setDriver("journald");
  await fleet.node("a");
  fleet.lead();
  const id = await fleet.replicated("web", 1);
  const own = await fleet.replicated("own", 1, { template: { LogDriver: { Name: "syslog" } } });
  const [task] = fleet.running(id);
  assert.deepEqual([task!.LogDriver, task!.Spec.LogDriver], [{ Name: "journald" }, undefined]);
  assert.deepEqual([fleet.running(own)[0]!.LogDriver, fleet.running(own)[0]!.Spec.LogDriver?.Name], [
    undefined,
    "syslog",
  ]);
  await setDriver("local");
  await fleet.update(id, (spec) => ({ ...spec, Labels: { team: "x" } }));
  await fleet.clock.advance(20_000);
  assert.deepEqual(fleet.running(id).map(({ ID }) => ID), [task!.ID]);
  await fleet.agents.report(task!.ID, "failed");
  await fleet.clock.advance(10_000);
  assert.deepEqual(fleet.running(id)[0]!.LogDriver, { Name: "local" });
});

Deno.test("isTaskDirty: other placement is clean while the node matches (52), other host ports are dirty", async () => {
  const { store } = testStore();
  await store.update((tx) => tx.create("nodes", makeNode("n")));
  const service = makeService("web", { Replicated: { Replicas: 1 } });
  const task = { ...newTask(service, { slot: 1 }, undefined, clock, random), NodeID: "n" };
  const placed = (constraint: string) => ({
    ...service,
    SpecVersion: { Index: 9 },
    Spec: {
      ...service.Spec,
      TaskTemplate: { ...service.Spec.TaskTemplate, Placement: { Constraints: [constraint] } },
    },
  });
  assert.equal(isTaskDirty(store, placed("node.id==n"), task), false);
  assert.equal(isTaskDirty(store, placed("node.id!=n"), task), true);
  const Ports = [{ Protocol: "tcp", TargetPort: 80, PublishedPort: 80, PublishMode: "host" } as const];
  const ported = {
    ...service,
    SpecVersion: { Index: 9 },
    Spec: { ...service.Spec, EndpointSpec: { Ports } },
  };
  assert.equal(isTaskDirty(store, ported, task), true);
});

Deno.test("deepEqual: undefined equals missing, order of elements counts", () => {
  assert.equal(deepEqual({ a: 1, b: undefined }, { a: 1 }), true);
  assert.equal(deepEqual({ a: [1, 2] }, { a: [2, 1] }), false);
  assert.equal(deepEqual({ a: [] }, { a: {} }), false);
  assert.equal(deepEqual({ a: null }, { a: undefined }), false);
  assert.equal(deepEqual({ a: { b: 1 } }, { a: { b: 1, c: 2 } }), false);
});
