import assert from "node:assert/strict";
import {
  explainNode,
  explainService,
  explainTask,
  type Explanation,
} from "../../../../manager/control/explain/explain.ts";
import { Fleet, versionOf } from "../../orchestrator/harness.ts";

/** `place: standing: reason`, in the order in which they are shown. */
function lines({ Places }: Explanation): string[] {
  return Places.map(({ Place, Standing, Reason }) => `${Place}: ${Standing}: ${Reason}`);
}

function ofService(fleet: Fleet, id: string): Explanation {
  return explainService(fleet.store, fleet.service(id), fleet.clock.now());
}

Deno.test("explain: a fleet that is well says so, and who is not concerned", async () => {
  await using fleet = await Fleet.of(["a"]);
  await fleet.node("b", { labels: { room: "lab" } });
  await fleet.node("c", { labels: { room: "lab" }, availability: "drain" });
  const id = await fleet.global("probe", {
    template: { Placement: { Constraints: ["node.labels.room==lab", "node.role==worker"] } },
  });
  const explanation = ofService(fleet, id);
  assert.deepEqual(explanation.Counts, { running: 1, ineligible: 2 });
  assert.equal(explanation.Summary, "1 of 1 devices run the present version");
  const [a, c, b] = lines(explanation);
  assert.equal(a, "a: ineligible: the node does not meet node.labels.room==lab");
  assert.equal(c, "c: ineligible: the node is drained, so it shall have no task");
  assert.match(b!, /^b: running: runs since 20/);
});

Deno.test("explain: pending tasks, and why each node takes none", async () => {
  await using fleet = await Fleet.of([]);
  await fleet.node("big", { resources: { NanoCPUs: 4e9, MemoryBytes: 1e9 }, availability: "pause" });
  await fleet.node("down", { state: "down" });
  await fleet.node("bare", { runtimes: ["container"] });
  await fleet.node("small", { resources: { NanoCPUs: 1e9, MemoryBytes: 1e6 } });
  await fleet.node("arm", { platform: { OS: "linux", Architecture: "arm64" } });
  const Reservations = { NanoCPUs: 2e9, MemoryBytes: 1e7 };
  const id = await fleet.replicated("web", 1, {
    template: {
      Resources: { Reservations },
      Placement: { Platforms: [{ OS: "linux", Architecture: "amd64" }] },
    },
  });
  const explanation = ofService(fleet, id);
  const [line] = lines(explanation);
  assert.match(line!, /^1: pending: no suitable node \(2 nodes not available for new tasks; /);
  assert.deepEqual(explanation.Refusals, [
    { NodeID: "big", Reason: "the node takes no new tasks (pause)" },
    { NodeID: "down", Reason: "the node is down" },
    { NodeID: "bare", Reason: "the node has no process runtime" },
    { NodeID: "small", Reason: "the node has too little free: cpu, memory" },
    { NodeID: "arm", Reason: "the node is linux/arm64, not linux/amd64" },
  ]);
  assert.equal(explanation.Summary, "0 of 1 slots run the present version");
});

Deno.test("explain: refusals that depend on what the node has", async () => {
  await using fleet = await Fleet.of([]);
  await fleet.node("a", {
    resources: { GenericResources: [{ NamedResourceSpec: { Kind: "dev", Value: "/dev/ttyUSB0" } }] },
  });
  const Ports = [{
    Protocol: "tcp" as const,
    TargetPort: 80,
    PublishedPort: 80,
    PublishMode: "host" as const,
  }];
  const claim = { GenericResources: [{ DiscreteResourceSpec: { Kind: "dev", Value: 1 } }] };
  const reasons = async (...[name, options]: Parameters<typeof option>) => {
    const id = await fleet.replicated(name, 2, option(name, options));
    return ofService(fleet, id).Refusals.map(({ Reason }) => Reason);
  };
  const option = (_name: string, options: Parameters<Fleet["replicated"]>[2]) => options;
  assert.deepEqual(await reasons("ports", { EndpointSpec: { Ports } }), [
    "the node has one of the host ports in use",
  ]);
  assert.deepEqual(await reasons("max", { template: { Placement: { MaxReplicas: 1 } } }), [
    "the node has 1 tasks of the service, and may have 1",
  ]);
  assert.deepEqual(await reasons("device", { template: { Resources: { Reservations: claim } } }), [
    "the node has too little free: dev",
  ]);
});

Deno.test("explain: devices that are offline, paused, failed, and not yet reached by an update", async () => {
  const names = ["a", "b", "c", "d", "e"];
  await using fleet = await Fleet.of(names);
  const id = await fleet.global("probe", {
    UpdateConfig: { Parallelism: 1, FailureAction: "pause", Monitor: 5e9, Delay: 0 },
    template: { RestartPolicy: { Condition: "none" } },
  });
  fleet.agents.offline.add("a");
  await fleet.state("a", "down");
  await fleet.availability("b", "pause");
  let bad = "";
  fleet.agents.fate = (task) => {
    if (versionOf(task) !== "2") return "running";
    bad = task.NodeID;
    return "failed";
  };
  await fleet.release(id, "2");
  await fleet.clock.advance(60_000);
  const said = new Map(lines(ofService(fleet, id)).map((line) => [line[0]!, line.slice(3)]));
  const old = "the previous version runs";
  assert.equal(said.get("a"), `offline: the node is down; ${old}, and it is updated when it is back`);
  assert.equal(said.get("b"), `paused: the node is paused; ${old}, and it is updated when it is back`);
  assert.match(said.get(bad)!, /^failed: /);
  for (const name of names.filter((name) => !["a", "b", bad].includes(name))) {
    assert.match(
      said.get(name)!,
      /^held: the rollout is paused in stage 1 of 1 \(update paused due to .*; the prev/,
    );
  }
  assert.deepEqual(ofService(fleet, id).Counts, { failed: 1, held: 2, offline: 1, paused: 1 });
});

Deno.test("explain: stages of a rollout say whose turn has not come, and who waits for promotion", async () => {
  await using fleet = await Fleet.of(["a", "b", "c", "d"]);
  const Rollout = { Stages: [{ Percent: 25, Bake: 60e9, Promotion: "manual" as const }, { Percent: 100 }] };
  const id = await fleet.global("probe", {
    UpdateConfig: { Parallelism: 1, FailureAction: "pause", Monitor: 1e9, Rollout },
  });
  await fleet.release(id, "2");
  await fleet.clock.advance(10_000);
  assert.deepEqual(ofService(fleet, id).Counts, { waiting: 3, running: 1 });
  assert.match(
    lines(ofService(fleet, id))[0]!,
    /waiting: the rollout watches stage 1 of 2 before it goes on; /,
  );
  await fleet.clock.advance(70_000);
  assert.match(
    lines(ofService(fleet, id))[0]!,
    /held: the rollout waits for somebody to promote stage 1 of 2; /,
  );
});

Deno.test("explain: a task that cannot stay up says why the last one ended", async () => {
  await using fleet = await Fleet.of(["a"], () => "failed");
  const id = await fleet.replicated("web", 1, { template: { RestartPolicy: { Delay: 30e9 } } });
  await fleet.clock.advance(1000);
  assert.deepEqual(lines(ofService(fleet, id)), [
    "1: starting: waits for the task before it to stop, or for the restart delay; the task before it is failed: failed",
  ]);
  const last = fleet.all(id).find((task) => task.Status.State === "failed")!;
  const explanation = explainTask(fleet.store, last, fleet.clock.now());
  assert.match(
    explanation.Summary,
    /^the task is failed \(failed\) and not wanted any more: \w+ follows it$/,
  );
  assert.equal(explanation.Places.length, 1);
});

Deno.test("explain: a task that its policy lets rest", async () => {
  await using fleet = await Fleet.of(["a"], () => "failed");
  const id = await fleet.replicated("web", 1, { template: { RestartPolicy: { Condition: "none" } } });
  await fleet.clock.advance(1000);
  assert.deepEqual(lines(ofService(fleet, id)), [
    "1: failed: the task is failed: failed; its restart policy (none) does not try it again",
  ]);
});

Deno.test("explain: a node says how it is, what it shall have and what it has", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  await fleet.global("probe");
  await fleet.replicated("web", 2);
  await fleet.replicated("elsewhere", 1, { template: { Placement: { Constraints: ["node.id==b"] } } });
  const explain = () => explainNode(fleet.store, fleet.store.get("nodes", "a")!, fleet.clock.now());
  const services = () =>
    explain().Places.map(({ Service, Standing }) => `${Service.Name} ${Standing}`).sort();
  assert.equal(explain().Summary, "the node is ready");
  assert.deepEqual(services(), ["probe running", "web running"]);
  fleet.agents.offline.add("a");
  await fleet.state("a", "down");
  assert.equal(explain().Summary, "the node is down");
  const [probe] = explain().Places;
  assert.equal(probe!.Reason, "the node is down; its task ran when it was last heard from");
  await fleet.store.update((tx) => {
    const node = tx.get("nodes", "b")!;
    const Description = { ...node.Description!, MissingRuntimes: { container: "Cannot ask the engine" } };
    tx.update("nodes", {
      ...node,
      Description,
      Status: { ...node.Status, State: "down", Message: "heartbeat failure" },
    });
  });
  assert.equal(
    explainNode(fleet.store, fleet.store.get("nodes", "b")!, fleet.clock.now()).Summary,
    "the node is down (heartbeat failure); its container runtime does not work (Cannot ask the engine)",
  );
});

Deno.test("explain: jobs, and a task of a service that is gone", async () => {
  await using fleet = await Fleet.of(["a"], () => "complete");
  const id = await fleet.job("once", { ReplicatedJob: { MaxConcurrent: 1, TotalCompletions: 2 } });
  await fleet.clock.advance(5000);
  assert.deepEqual(ofService(fleet, id).Counts, { completed: 2 });
  const [task] = fleet.all(id);
  await fleet.store.update((tx) => tx.delete("services", id));
  assert.match(explainTask(fleet.store, task!, 0).Summary, /^its service was removed; the task is complete/);
});

Deno.test("explain: a task that waits for another service says for which, and why its node has none of it", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  await fleet.global("db", { template: { Placement: { Constraints: ["node.labels.disk==ssd"] } } });
  const DependsOn = [{ Service: "db", Condition: "service_healthy" as const }];
  const words = "waits for service db to be healthy on this node";
  const id = await fleet.global("web", { template: { DependsOn } });
  const [task] = fleet.all(id);
  await fleet.store.update((tx) => {
    const Status = { ...task!.Status, State: "ready" as const, Message: words };
    tx.update("tasks", { ...tx.get("tasks", task!.ID)!, Status });
  });
  const [line] = lines(ofService(fleet, id));
  const why = "db: the node does not meet node.labels.disk==ssd";
  assert.equal(line, `${task!.NodeID}: starting: the task is ready (${words}); ${why}`);
});
