import assert from "node:assert/strict";
import type { PortConfig, TaskSpec } from "../../../api/service.ts";
import type { Task } from "../../../api/task.ts";
import { newTask } from "../../../manager/task/task.ts";
import { Fleet, makeService, type NodeOptions } from "../orchestrator/harness.ts";

async function fleetOf(nodes: Record<string, NodeOptions>): Promise<Fleet> {
  const fleet = await Fleet.of([]);
  for (const [id, options] of Object.entries(nodes)) await fleet.node(id, options);
  return fleet;
}

const reserve = (cores: number) => ({ Resources: { Reservations: { NanoCPUs: cores * 1e9 } } });
const port = (PublishedPort: number, Protocol: PortConfig["Protocol"] = "tcp") => ({
  EndpointSpec: { Ports: [{ Protocol, TargetPort: 80, PublishedPort, PublishMode: "host" as const }] },
});

function pendingReasons(fleet: Fleet, id: string): (string | undefined)[] {
  return fleet.wanted(id).filter((task) => task.Status.State === "pending").map((task) => task.Status.Err);
}

Deno.test("Scheduler: spreads evenly over the nodes, ties by total tasks (55)", async () => {
  await using fleet = await fleetOf({ a: {}, b: {}, c: {} });
  const web = await fleet.replicated("web", 7);
  assert.deepEqual(Object.values(fleet.placement(web)).sort(), [2, 2, 3]);
  const full = Object.entries(fleet.placement(web)).find(([, count]) => count === 3)![0];
  const two = await fleet.replicated("two", 2);
  assert.equal(fleet.placement(two)[full], undefined);
});

Deno.test("Scheduler: says which node and why in the status", async () => {
  await using fleet = await fleetOf({ a: {} });
  fleet.agents.fate = () => undefined;
  const web = await fleet.replicated("web", 1);
  const probe = await fleet.global("probe");
  assert.equal(fleet.all(web)[0]!.Status.Message, "scheduler assigned task to node");
  assert.equal(fleet.all(probe)[0]!.Status.Message, "scheduler confirmed task can run on preassigned node");
});

Deno.test("Scheduler: a node that lost tasks is preferred next (56)", async () => {
  await using fleet = await fleetOf({ a: {}, b: {} });
  const web = await fleet.replicated("web", 4);
  const victims = fleet.running(web).filter((task) => task.NodeID === "a");
  await fleet.store.update((tx) => victims.forEach((task) => tx.delete("tasks", task.ID)));
  await fleet.clock.advance(500);
  assert.deepEqual(fleet.placement(web), { b: 2, a: 2 });
});

Deno.test("Scheduler: two levels of spread preferences balance; no label is one group (57)", async () => {
  const at = (zone: string, rack: string) => ({ labels: { zone, rack } });
  await using fleet = await fleetOf({
    a1: at("a", "1"),
    a1b: at("a", "1"),
    a2: at("a", "2"),
    b1: at("b", "1"),
    bare1: {},
    bare2: {},
  });
  const Preferences = ["zone", "rack"].map((label) => ({
    Spread: { SpreadDescriptor: `node.labels.${label}` },
  }));
  const web = await fleet.replicated("web", 12, { template: { Placement: { Preferences } } });
  assert.deepEqual(fleet.placement(web), { a1: 1, a1b: 1, a2: 2, b1: 4, bare1: 2, bare2: 2 });
});

Deno.test("Scheduler: no ready node leaves tasks pending with the reason until one is ready (58)", async () => {
  await using fleet = await fleetOf({
    a: { state: "down" },
    b: { availability: "drain" },
    c: { resources: {} },
  });
  const web = await fleet.replicated("web", 1, { template: reserve(1) });
  assert.deepEqual(pendingReasons(fleet, web), [
    "no suitable node (2 nodes not available for new tasks; insufficient resources on 1 node)",
  ]);
  await fleet.state("a", "ready");
  await fleet.clock.advance(100);
  assert.deepEqual(fleet.placement(web), { a: 1 });
  assert.equal(fleet.running(web)[0]!.Status.Err, undefined);
});

Deno.test("Scheduler: without any node the reason is short", async () => {
  await using fleet = await fleetOf({});
  const web = await fleet.replicated("web", 1);
  assert.deepEqual(pendingReasons(fleet, web), ["no suitable node"]);
});

Deno.test("Scheduler: waits for a quiet 50 ms, at most 1 s", async () => {
  await using fleet = await fleetOf({ a: {}, b: {} });
  const web = await fleet.replicated("web", 1);
  await fleet.update(web, (spec) => ({ ...spec, Mode: { Replicated: { Replicas: 2 } } }));
  let waited = 0;
  while (fleet.slots(web).length < 2 && waited < 5000) {
    await fleet.setNode("b", (node) => ({ ...node }));
    await fleet.clock.advance(40);
    waited += 40;
  }
  assert.ok(waited >= 960 && waited <= 1040, `waited ${waited} ms`);
});

Deno.test("Scheduler: after 5 failures in 5 minutes other nodes come first; a new version clears (59)", async () => {
  await using fleet = await fleetOf({ a: {}, b: {} });
  await fleet.replicated("load", 1, { template: { Placement: { Constraints: ["node.id==b"] } } });
  const web = await fleet.replicated("web", 1, { template: { RestartPolicy: { Delay: 1e9 } } });
  const visited: string[] = [];
  const fail = async () => {
    const [task] = fleet.running(web);
    visited.push(task!.NodeID);
    await fleet.agents.report(task!.ID, "failed");
    await fleet.clock.advance(2000);
  };
  for (let i = 0; i < 7; i++) await fail();
  assert.deepEqual(visited.slice(0, 5), ["a", "a", "a", "a", "a"]);
  assert.deepEqual(visited.slice(5), ["b", "b"]);
  await fleet.release(web, "v2");
  await fleet.clock.advance(2000);
  assert.equal(fleet.running(web)[0]!.NodeID, "a");
  await fleet.clock.advance(6 * 60_000);
});

Deno.test("Scheduler: reservations are respected, and freed by a task's end or a node's growth (60)", async () => {
  await using fleet = await fleetOf({ a: { resources: { NanoCPUs: 2e9 } } });
  const web = await fleet.replicated("web", 2, { template: reserve(1) });
  const more = await fleet.replicated("more", 2, { template: reserve(1) });
  const reason = "no suitable node (insufficient resources on 1 node)";
  assert.deepEqual(pendingReasons(fleet, more), [reason, reason]);
  await fleet.scale(web, 1);
  await fleet.clock.advance(500);
  assert.deepEqual(fleet.placement(more), { a: 1 });
  await fleet.setNode("a", (node) => ({
    ...node,
    Description: { ...node.Description!, Resources: { NanoCPUs: 3e9 } },
  }));
  await fleet.clock.advance(500);
  assert.deepEqual(fleet.placement(more), { a: 2 });
});

Deno.test("Scheduler: a pending task that is no longer wanted is shut down, not placed (61)", async () => {
  await using fleet = await fleetOf({});
  const web = await fleet.replicated("web", 1);
  await fleet.release(web, "v2");
  await fleet.clock.advance(500);
  assert.deepEqual(fleet.all(web).map((task) => task.Status.State), ["shutdown", "pending"]);
  await fleet.node("a");
  await fleet.clock.advance(500);
  assert.deepEqual(fleet.versions(web), { v2: 1 });
});

Deno.test("Scheduler: architecture aliases are accepted, another system is refused (62)", async () => {
  await using fleet = await fleetOf({ a: { platform: { OS: "linux", Architecture: "aarch64" } } });
  const on = (OS: string, Architecture: string) => ({
    template: { Placement: { Platforms: [{ OS, Architecture }] } },
  });
  const web = await fleet.replicated("web", 1, on("linux", "arm64"));
  assert.deepEqual(fleet.placement(web), { a: 1 });
  const other = await fleet.replicated("other", 1, on("windows", "arm64"));
  assert.deepEqual(pendingReasons(fleet, other), ["no suitable node (unsupported platform on 1 node)"]);
});

Deno.test("Scheduler: a node without the runtime is no candidate, and that is explained (63)", async () => {
  await using fleet = await fleetOf({ a: {}, b: {}, c: { runtimes: ["container"], availability: "pause" } });
  const web = await fleet.replicated("web", 1, { template: { Runtime: "container" } });
  assert.deepEqual(pendingReasons(fleet, web), [
    "no suitable node (no container runtime on 2 nodes; 1 node not available for new tasks)",
  ]);
});

Deno.test("Scheduler: a volume or log driver that the engine lacks is explained (63)", async () => {
  await using fleet = await fleetOf({
    plain: { runtimes: ["container"] },
    rich: { runtimes: ["container"] },
  });
  const Plugins = [["Volume", "nfs:latest"], ["Log", "json-file"], ["Log", "fluent"]]
    .map(([Type, Name]) => ({ Type: Type!, Name: Name! }));
  await fleet.setNode("rich", (node) => ({
    ...node,
    Description: { ...node.Description!, Engine: { EngineVersion: "0", Plugins } },
  }));
  let count = 0;
  const placed = async (template: Partial<TaskSpec>) => {
    const id = await fleet.replicated(`s${count++}`, 2, {
      template: {
        Runtime: "container",
        ContainerSpec: { Image: "x" },
        ...template,
        Placement: { MaxReplicas: 1 },
      },
    });
    return [Object.keys(fleet.placement(id)).sort().join(), ...pendingReasons(fleet, id)];
  };
  const volume = (Name?: string) => ({
    ContainerSpec: {
      Image: "x",
      Mounts: [{
        Type: "volume" as const,
        Target: "/v",
        VolumeOptions: { DriverConfig: Name ? { Name } : {} },
      }],
    },
  });
  const both = ["plain,rich"];
  const onlyRich = [
    "rich",
    "no suitable node (missing plugin on 1 node; max replicas per node limit exceed)",
  ];
  assert.deepEqual(await placed({}), both);
  assert.deepEqual(await placed(volume()), both);
  assert.deepEqual(await placed(volume("local")), both);
  assert.deepEqual(await placed(volume("nfs")), onlyRich);
  assert.deepEqual(await placed(volume("nf")), [
    "",
    ...Array(2).fill("no suitable node (missing plugin on 2 nodes)"),
  ]);
  // An engine that reports no log driver at all may have any.
  assert.deepEqual(await placed({ LogDriver: { Name: "fluent" } }), both);
  assert.deepEqual(await placed({ LogDriver: { Name: "none" } }), both);
  assert.deepEqual(await placed({ LogDriver: { Options: { tag: "x" } } }), both);
  assert.deepEqual(await placed({ LogDriver: { Name: "syslog" } }), [
    "plain",
    "no suitable node (missing plugin on 1 node; max replicas per node limit exceed)",
  ]);
});

Deno.test("Scheduler: nodes that cannot do overlay networks are passed over, by runtime", async () => {
  await using fleet = await fleetOf({ a: {}, b: {} });
  const NetworkAttachments = [{ NetworkID: "net", Addresses: ["10.0.1.5/24"] }];
  const service = makeService("web", { Replicated: { Replicas: 1 } });
  const task: Task = {
    ...newTask(service, { slot: 1 }, undefined, fleet.clock, fleet.random),
    ID: "t1",
    NetworkAttachments,
    Status: { Timestamp: "", State: "pending", Message: "" },
  };
  await fleet.store.update((tx) => {
    tx.create("services", service);
    tx.create("tasks", task);
  });
  await fleet.clock.advance(1000);
  assert.equal(
    fleet.store.get("tasks", "t1")!.Status.Err,
    "no suitable node (missing network support on 2 nodes)",
  );
  const able = (id: string, OverlayRuntimes: string[]) =>
    fleet.setNode(id, (node) => ({ ...node, Description: { ...node.Description!, OverlayRuntimes } }));
  await able("a", ["container"]);
  await fleet.clock.advance(1000);
  assert.equal(fleet.store.get("tasks", "t1")!.NodeID, "");
  await able("b", ["container", "process"]);
  await fleet.clock.advance(1000);
  assert.equal(fleet.store.get("tasks", "t1")!.NodeID, "b");
});

Deno.test("Scheduler: constraints that nobody meets are explained", async () => {
  await using fleet = await fleetOf({ a: {}, b: {} });
  const web = await fleet.replicated("web", 1, { template: { Placement: { Constraints: ["node.id==x"] } } });
  assert.deepEqual(pendingReasons(fleet, web), [
    "no suitable node (scheduling constraints not satisfied on 2 nodes)",
  ]);
});

Deno.test("Scheduler: a host port is taken once per node and protocol (64)", async () => {
  await using fleet = await fleetOf({ a: {}, b: {} });
  const web = await fleet.replicated("web", 3, port(80));
  assert.deepEqual(fleet.placement(web), { a: 1, b: 1 });
  assert.deepEqual(pendingReasons(fleet, web), [
    "no suitable node (host-mode port already in use on 2 nodes)",
  ]);
  const dns = await fleet.replicated("dns", 2, port(80, "udp"));
  assert.deepEqual(fleet.placement(dns), { a: 1, b: 1 });
  await fleet.scale(web, 0);
  await fleet.clock.advance(500);
  const next = await fleet.replicated("next", 1, port(80));
  assert.equal(fleet.running(next).length, 1);
});

Deno.test("Scheduler: the maximum of replicas per node is honoured (65)", async () => {
  await using fleet = await fleetOf({ a: {}, b: {} });
  const web = await fleet.replicated("web", 5, { template: { Placement: { MaxReplicas: 2 } } });
  assert.deepEqual(fleet.placement(web), { a: 2, b: 2 });
  assert.deepEqual(pendingReasons(fleet, web), ["no suitable node (max replicas per node limit exceed)"]);
});

Deno.test("Scheduler: a preassigned task is validated, and placed once its node is fit (66)", async () => {
  await using fleet = await fleetOf({ a: {}, b: { resources: { NanoCPUs: 1e9 } } });
  const probe = await fleet.global("probe", { template: reserve(2) });
  assert.deepEqual(fleet.placement(probe), { a: 1 });
  assert.deepEqual(pendingReasons(fleet, probe), ["insufficient resources on 1 node"]);
  await fleet.setNode("b", (node) => ({
    ...node,
    Description: { ...node.Description!, Resources: { NanoCPUs: 2e9 } },
  }));
  assert.deepEqual(fleet.placement(probe), { a: 1, b: 1 });
});

Deno.test("Scheduler: named resources are assigned once each and reused after the end (67)", async () => {
  const names = ["g1", "g2", "g3"];
  const GenericResources = names.map((Value) => ({ NamedResourceSpec: { Kind: "gpu", Value } }));
  await using fleet = await fleetOf({ a: { resources: { GenericResources } } });
  const Reservations = { GenericResources: [{ DiscreteResourceSpec: { Kind: "gpu", Value: 1 } }] };
  const web = await fleet.replicated("web", 4, { template: { Resources: { Reservations } } });
  const held = () => fleet.running(web).flatMap((task) => task.AssignedGenericResources ?? []);
  assert.deepEqual(new Set(held().map((r) => JSON.stringify(r))).size, 3);
  assert.equal(pendingReasons(fleet, web).length, 1);
  await fleet.agents.report(fleet.running(web)[0]!.ID, "failed");
  await fleet.clock.advance(6000);
  assert.deepEqual(new Set(held().map((r) => JSON.stringify(r))).size, 3);
});

Deno.test("Scheduler: a new leader counts what runs already", async () => {
  await using fleet = await fleetOf({
    a: { resources: { NanoCPUs: 2e9 } },
    b: { resources: { NanoCPUs: 1e9 } },
  });
  const web = await fleet.replicated("web", 3, { template: reserve(1) });
  await fleet.stepDown();
  fleet.lead();
  const more = await fleet.replicated("more", 1, { template: reserve(1) });
  assert.deepEqual(fleet.placement(web), { a: 2, b: 1 });
  assert.deepEqual(pendingReasons(fleet, more), ["no suitable node (insufficient resources on 2 nodes)"]);
});

Deno.test("Scheduler: failures of more than 5 minutes ago count no more (59)", async () => {
  await using fleet = await fleetOf({ a: {}, b: {} });
  await fleet.replicated("load", 1, { template: { Placement: { Constraints: ["node.id==b"] } } });
  const web = await fleet.replicated("web", 1, { template: { RestartPolicy: { Delay: 1e9 } } });
  const failTimes = async (times: number) => {
    for (let i = 0; i < times; i++) {
      await fleet.agents.report(fleet.running(web)[0]!.ID, "failed");
      await fleet.clock.advance(2000);
    }
  };
  await failTimes(5);
  assert.deepEqual(fleet.placement(web), { b: 1 });
  await fleet.clock.advance(5 * 60_000);
  await failTimes(1);
  assert.deepEqual(fleet.placement(web), { a: 1 });
});

Deno.test("Scheduler: failures of tasks of a preset node keep none from it (59)", async () => {
  await using fleet = await fleetOf({ a: {}, b: {} });
  const template = { RestartPolicy: { Delay: 1e9 } };
  const probe = await fleet.global("probe", { template });
  for (let i = 0; i < 8; i++) {
    await fleet.agents.report(fleet.running(probe).find(({ NodeID }) => NodeID === "a")!.ID, "failed");
    await fleet.clock.advance(2000);
    assert.deepEqual(fleet.placement(probe), { a: 1, b: 1 });
  }
});

Deno.test("Scheduler: places no more than 10,000 tasks in one turn; the rest follows, evenly", async () => {
  await using fleet = await fleetOf({ a: {}, b: {}, c: {} });
  const { store } = fleet, batch = store.batch.bind(store) as (...args: unknown[]) => Promise<void>;
  let most = 0;
  store.batch = (items: Iterable<unknown>, ...rest: unknown[]) => {
    const tasks = Array.isArray(items) ? items.filter((item) => item.assigned) : [];
    most = Math.max(most, tasks.length);
    return batch(items, ...rest);
  };
  const web = await fleet.replicated("web", 24_000);
  await fleet.clock.advance(2000);
  assert.deepEqual(fleet.placement(web), { a: 8000, b: 8000, c: 8000 });
  assert.equal(most, 10_000);
});

Deno.test("Scheduler: many services that ask for too much all wait with the reason, and small ones do not wait for them", async () => {
  await using fleet = await fleetOf({ a: { resources: { NanoCPUs: 1e9 } } });
  const big = [];
  for (let i = 0; i < 5; i++) big.push(await fleet.replicated(`big${i}`, 2, { template: reserve(2) }));
  const small = await fleet.replicated("small", 2, { template: reserve(0.5) });
  for (const id of big) {
    const reason = "no suitable node (insufficient resources on 1 node)";
    assert.deepEqual(pendingReasons(fleet, id), [reason, reason]);
  }
  assert.deepEqual(fleet.placement(small), { a: 2 });
});

Deno.test("Scheduler: services of one tick are spread by the nodes' tasks in all (55)", async () => {
  await using fleet = await fleetOf({ a: {}, b: {}, c: {}, d: {} });
  const ids = await Promise.all(Array.from({ length: 8 }, (_, i) => fleet.replicated(`s${i}`, 1)));
  const nodes = ids.flatMap((id) => Object.keys(fleet.placement(id))).sort();
  assert.deepEqual(nodes, ["a", "a", "b", "b", "c", "c", "d", "d"]);
});

Deno.test("Scheduler: a removed node's tasks do not count where it was, nor when it comes again", async () => {
  await using fleet = await fleetOf({ a: {}, b: {} });
  await fleet.replicated("web", 4);
  await fleet.store.update((tx) => tx.delete("nodes", "a"));
  await fleet.clock.advance(70_000);
  await fleet.node("a", {});
  assert.deepEqual(fleet.placement(await fleet.replicated("one", 1)), { a: 1 });
  assert.deepEqual(fleet.placement(await fleet.replicated("two", 3)), { a: 2, b: 1 });
});

Deno.test("Scheduler: a claimed path below /dev is one task's alone, wherever it is plugged in (67)", async () => {
  await using fleet = await fleetOf({ a: {}, b: {} });
  const plug = (id: string, ...dev: string[]) =>
    fleet.setNode(id, (node) => ({ ...node, Description: { ...node.Description!, Facts: { dev } } }));
  await plug("b", "/dev/ttyUSB0");
  const claim = { GenericResources: [{ NamedResourceSpec: { Kind: "dev", Value: "/dev/ttyUSB0" } }] };
  const modem = await fleet.replicated("modem", 2, { template: { Resources: { Reservations: claim } } });
  assert.deepEqual(fleet.placement(modem), { b: 1 });
  assert.deepEqual(fleet.running(modem)[0]!.AssignedGenericResources, claim.GenericResources);
  assert.deepEqual(pendingReasons(fleet, modem), ["no suitable node (insufficient resources on 2 nodes)"]);
  await plug("a", "/dev/ttyUSB0");
  await fleet.clock.advance(2000);
  assert.deepEqual(fleet.placement(modem), { a: 1, b: 1 });
  await plug("b");
  await fleet.clock.advance(10_000);
  assert.deepEqual(fleet.placement(modem), { a: 1 });
  assert.equal(pendingReasons(fleet, modem).length, 1);
});
