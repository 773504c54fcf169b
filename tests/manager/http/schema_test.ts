import assert from "node:assert/strict";
import { TASK_STATES, type TaskState } from "../../../api/task_state.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { responseProblems } from "./docker_schema.ts";
import { NODE_ID, processBody, request, serviceBody, testAPI, testNode, testTask } from "./fake_node.ts";

/** Calls and checks every answer against Docker's description. */
async function checkedAPI(init = true) {
  const test = await testAPI(new FakeClock(), { init });
  const call = async (method: string, path: string, body?: unknown, wanted = 200) => {
    const answer = await test.call(method, path, body);
    assert.equal(answer.status, wanted, `${method} ${path}: ${JSON.stringify(answer.json)}`);
    assert.deepEqual(responseProblems(method, path, answer.status, answer.json), []);
    return answer.json;
  };
  return { ...test, call };
}

const FULL_SPEC = serviceBody("full", {
  Labels: { tier: "front" },
  TaskTemplate: {
    ContainerSpec: {
      Image: "busybox:local",
      Args: ["sleep", "1000"],
      Env: ["A=b"],
      Init: false,
      Mounts: [{ Type: "tmpfs", Target: "/x", TmpfsOptions: { SizeBytes: 1000 } }],
      Healthcheck: { Test: ["CMD", "true"], Interval: 1_000_000_000 },
      StopGracePeriod: 1_000_000_000,
      DNSConfig: {},
    },
    Resources: {
      Limits: { MemoryBytes: 64 << 20 },
      Reservations: {
        NanoCPUs: 100_000_000,
        GenericResources: [{ DiscreteResourceSpec: { Kind: "gpu", Value: 1 } }],
      },
    },
    RestartPolicy: { Condition: "on-failure", Delay: 5_000_000_000, MaxAttempts: 3 },
    Placement: {
      Constraints: ["node.role==manager"],
      Preferences: [{ Spread: { SpreadDescriptor: "node.labels.zone" } }],
      Platforms: [{ Architecture: "amd64", OS: "linux" }],
    },
    LogDriver: { Name: "json-file", Options: { "max-size": "1m" } },
  },
  UpdateConfig: { Parallelism: 2, Delay: 1_000_000_000 },
  EndpointSpec: { Mode: "vip", Ports: [{ TargetPort: 80, PublishedPort: 8080, PublishMode: "host" }] },
});

Deno.test("Docker's schema: a node outside a swarm, its refusals, and joining", async () => {
  const { call, node } = await checkedAPI(false);
  await call("GET", "/info");
  await call("GET", "/version");
  for (
    const path of [
      "/swarm",
      "/nodes",
      "/services",
      "/tasks",
      "/nodes/x",
      "/services/x",
      "/tasks/x",
      "/secrets",
    ]
  ) {
    await call("GET", path, undefined, 503);
  }
  await call("POST", "/swarm/leave", undefined, 503);
  await call("POST", "/swarm/unlock", { UnlockKey: "x" }, 503);
  await call("POST", "/swarm/join", { RemoteAddrs: ["a:1"], JoinToken: "t" });
  await call("GET", "/info");
  await call("GET", "/swarm", undefined, 503);
  await call("POST", "/swarm/leave");
  await call("POST", "/swarm/init", { ListenAddr: "0.0.0.0:2377", Spec: { Orchestration: {} } });
  await call("GET", "/info");
  assert.equal(node.state, "active");
});

Deno.test("Docker's schema: the swarm and its nodes in every state", async () => {
  const { call, store, node } = await checkedAPI();
  const { Version } = await call("GET", "/swarm");
  await call("POST", `/swarm/update?version=${Version.Index}&rotateWorkerToken=true`, { Name: "default" });
  await call("GET", "/swarm/unlockkey");
  await store().update((tx) => {
    for (const State of ["unknown", "down", "ready", "disconnected"] as const) {
      tx.create("nodes", testNode(`n-${State}`, { State }));
    }
    const { Description: _, ...silent } = testNode("silent");
    tx.create("nodes", silent);
  });
  const nodes = await call("GET", "/nodes");
  assert.equal(nodes.length, 6);
  for (const each of nodes) await call("GET", `/nodes/${each.ID}`);
  const update = `/nodes/n-ready/update?version=${
    nodes.find((each: { ID: string }) => each.ID === "n-ready").Version.Index
  }`;
  await call("POST", update, { Role: "worker", Availability: "drain", Labels: { a: "b" } });
  await call("POST", update, { Role: "worker", Availability: "drain" }, 500);
  await call("DELETE", "/nodes/n-ready", undefined, 400);
  await call("DELETE", "/nodes/n-ready?force=true");
  await call("GET", "/info");
  node.consensus!.setLeader(false);
  await call("GET", "/nodes", undefined, 503);
});

Deno.test("Docker's schema: services and tasks of every kind and state", async () => {
  const { call, store } = await checkedAPI();
  const bodies = [
    FULL_SPEC,
    serviceBody("plain"),
    serviceBody("global", { Mode: { Global: {} } }),
    processBody("proc"),
    {
      Name: "other",
      TaskTemplate: { Runtime: "wasm", GenericSpec: { Payload: { module: "x" } } },
    },
  ];
  for (const body of bodies) {
    const { ID } = await call("POST", "/services/create", body, 201);
    const service = await call("GET", `/services/${ID}`);
    await call("GET", `/services/${ID}?insertDefaults=true`);
    await call("POST", `/services/${ID}/update?version=${service.Version.Index}`, service.Spec);
    const updated = await call("GET", `/services/${ID}`);
    assert.deepEqual(updated.PreviousSpec, service.Spec);
    await call(
      "POST",
      `/services/${ID}/update?version=${updated.Version.Index}&rollback=previous`,
      service.Spec,
    );
    await call("GET", `/services/${ID}`);
  }
  await store().update((tx) => {
    for (const service of tx.all("services")) {
      for (const State of Object.keys(TASK_STATES) as TaskState[]) {
        const Status = { Timestamp: service.CreatedAt, State, Message: "m", Err: "e" };
        tx.create("tasks", testTask(service, `${service.Spec.Name}-${State}`, { Status }));
      }
      tx.create(
        "tasks",
        testTask(service, `${service.Spec.Name}-ran`, {
          Status: {
            Timestamp: service.CreatedAt,
            State: "running",
            Message: "started",
            ContainerStatus: { ContainerID: "c", PID: 1, ExitCode: 0 },
            PortStatus: {
              Ports: [{ Protocol: "tcp", TargetPort: 80, PublishedPort: 8080, PublishMode: "host" }],
            },
          },
          AssignedGenericResources: [{ NamedResourceSpec: { Kind: "gpu", Value: "g1" } }],
        }),
      );
    }
  });
  for (const task of await call("GET", "/tasks")) await call("GET", `/tasks/${task.ID}`);
  await call("GET", "/services?status=true");
  await call("POST", "/services/create", { Name: "bad" }, 400);
  await call("POST", "/services/create", serviceBody("plain"), 409);
  await call("GET", "/services/nope", undefined, 404);
  await call("DELETE", "/services/plain");
  await call("DELETE", "/services/plain", undefined, 404);
  await call("GET", "/secrets");
  await call("GET", "/configs");
  await call("POST", "/secrets/create", { Name: "x" }, 400);
});

Deno.test("Docker's schema: events", async () => {
  const clock = new FakeClock();
  const { api, call, store } = await testAPI(clock);
  const { json } = await call("POST", "/services/create", serviceBody("web"));
  await store().update((tx) =>
    tx.update("nodes", { ...tx.get("nodes", NODE_ID)!, Status: { State: "down", Addr: "" } })
  );
  await call("DELETE", `/services/${json.ID}`);
  const until = clock.now() / 1000;
  const response = await request(api, `/events?since=0&until=${until}`);
  const lines = (await response.text()).trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(lines.map((line) => `${line.Type} ${line.Action}`), [
    "service create",
    "node update",
    "service remove",
  ]);
  for (const line of lines) assert.deepEqual(responseProblems("GET", "/events", 200, line), []);
});
