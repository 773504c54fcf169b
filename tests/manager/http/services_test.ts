import assert from "node:assert/strict";
import { isTaskDirty } from "../../../manager/task/task.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { NODE_ID, processBody, request, serviceBody, testAPI, testTask } from "./fake_node.ts";

Deno.test("Services: creating answers with the ID, a taken name with 409", async () => {
  const { call } = await testAPI(new FakeClock());
  const { status, json } = await call("POST", "/v1.41/services/create", serviceBody("web"));
  assert.equal(status, 201);
  assert.match(json.ID, /^[0-9a-z]{25}$/);
  assert.deepEqual(await call("POST", "/services/create", serviceBody("web")), {
    status: 409,
    json: {
      message:
        "rpc error: code = AlreadyExists desc = name conflicts with an existing object: service web already exists",
    },
  });
});

Deno.test("Services: are found by ID, name and prefix; ambiguous and unknown ones say so", async () => {
  const { call } = await testAPI(new FakeClock());
  const { json: { ID } } = await call("POST", "/services/create", serviceBody("web"));
  const other = await call("POST", "/services/create", serviceBody("db"));
  for (const name of [ID, "web", ID.slice(0, 25)]) {
    assert.equal((await call("GET", `/services/${name}`)).json.ID, ID);
  }
  const common = [...ID].findIndex((each, i) => each !== other.json.ID[i]);
  assert.deepEqual(await call("GET", `/services/${ID.slice(0, common)}`), {
    status: 400,
    json: { message: `service ${ID.slice(0, common)} is ambiguous (2 matches found)` },
  });
  assert.deepEqual(await call("GET", "/services/nope"), {
    status: 404,
    json: { message: "service nope not found" },
  });
});

Deno.test("Services: an update keeps the previous spec, bumps the spec's version and needs the latest version", async () => {
  const { call, store } = await testAPI(new FakeClock());
  const { json: { ID } } = await call("POST", "/services/create", serviceBody("web"));
  const before = (await call("GET", "/services/web")).json;
  const update = `/services/web/update?version=${before.Version.Index}`;
  const scaled = { ...before.Spec, Mode: { Replicated: { Replicas: 3 } } };
  assert.deepEqual(await call("POST", update, scaled), { status: 200, json: { Warnings: null } });
  const stored = store().get("services", ID)!;
  assert.deepEqual(stored.SpecVersion, before.Version);
  assert.deepEqual(stored.PreviousSpecVersion, { Index: 0 });
  assert.deepEqual(stored.Spec.Mode, { Replicated: { Replicas: 3 } });
  assert.deepEqual(await call("POST", update, scaled), {
    status: 500,
    json: { message: "rpc error: code = Unknown desc = update out of sequence" },
  });
});

Deno.test("Services: what components write beside a spec puts no update of it out of sequence", async () => {
  const { call, store } = await testAPI(new FakeClock());
  const { json: { ID } } = await call("POST", "/services/create", serviceBody("web"));
  const first = (await call("GET", "/services/web")).json;
  const progress = () =>
    store().update((tx) => {
      const UpdateStatus = { State: "updating" as const, StartedAt: first.CreatedAt, Message: "" };
      tx.update("services", { ...tx.get("services", ID)!, UpdateStatus });
    });
  const update = async (version: number, label: string) =>
    (await call("POST", `/services/web/update?version=${version}`, {
      ...first.Spec,
      Labels: { label },
    })).status;
  await progress();
  await progress();
  assert.equal(await update(first.Version.Index - 1, "too old"), 500);
  assert.equal(await update(first.Version.Index, "a"), 200);
  await progress();
  assert.equal(await update(first.Version.Index + 1, "has not seen a"), 500);
  const { Version, Spec } = (await call("GET", "/services/web")).json;
  assert.deepEqual(Spec.Labels, { label: "a" });
  assert.equal(await update(Version.Index + 1, "not there yet"), 500);
  assert.equal(await update(Version.Index, "b"), 200);
});

Deno.test("Services: rolling back swaps the specs and says so", async () => {
  const { call } = await testAPI(new FakeClock());
  await call("POST", "/services/create", serviceBody("web"));
  const first = (await call("GET", "/services/web")).json;
  const path = (version: number) => `/services/web/update?version=${version}`;
  const refused = await call("POST", `${path(first.Version.Index)}&rollback=previous`, first.Spec);
  assert.equal(refused.status, 400);
  assert.match(refused.json.message, /FailedPrecondition desc = service \w+ does not have a previous spec/);
  await call("POST", path(first.Version.Index), { ...first.Spec, Labels: { a: "b" } });
  const second = (await call("GET", "/services/web")).json;
  await call("POST", `${path(second.Version.Index)}&rollback=previous`, first.Spec);
  const third = (await call("GET", "/services/web")).json;
  assert.deepEqual([third.Spec, third.PreviousSpec], [first.Spec, second.Spec]);
  assert.equal(third.UpdateStatus.State, "rollback_started");
});

Deno.test("Services: a ForceUpdate beyond what a number holds exactly is kept digit by digit, and refused beyond 64 bits", async () => {
  const { call, api, store } = await testAPI(new FakeClock());
  const body = (value: string) =>
    JSON.stringify(serviceBody("web")).replace('"TaskTemplate":{', `$&"ForceUpdate":${value},`);
  const shown = async () => {
    const text = await (await request(api, "/services/web")).text();
    return [...text.matchAll(/"ForceUpdate":(.*?)[,}]/g)].map(([, digits]) => digits);
  };
  const update = async (value: string) => {
    const { Version } = (await call("GET", "/services/web")).json;
    return (await call("POST", `/services/web/update?version=${Version.Index}`, body(value))).status;
  };
  assert.equal((await call("POST", "/services/create", body("17958989225995111"))).status, 201);
  const task = testTask(store().all("services")[0]!, "t1");
  assert.deepEqual(await shown(), ["17958989225995111"]);
  assert.equal(await update("17958989225995112"), 200);
  assert.deepEqual(await shown(), ["17958989225995112", "17958989225995111"]);
  assert.ok(isTaskDirty(store(), store().all("services")[0]!, task), "one more is another version");
  for (const value of ["18446744073709551615", "9007199254740992", "0"]) {
    assert.equal(await update(value), 200);
    assert.equal((await shown())[0], value);
  }
  for (const value of ["18446744073709551616", "-1", "1.5", '"1"']) assert.equal(await update(value), 400);
});

Deno.test("Services: neither name nor mode may change", async () => {
  const { call } = await testAPI(new FakeClock());
  await call("POST", "/services/create", serviceBody("web"));
  const { Version, Spec } = (await call("GET", "/services/web")).json;
  const path = `/services/web/update?version=${Version.Index}`;
  const renamed = await call("POST", path, { ...Spec, Name: "other" });
  assert.deepEqual(
    renamed.json.message,
    "rpc error: code = Unimplemented desc = renaming services is not supported",
  );
  const changed = await call("POST", path, { ...Spec, Mode: { Global: {} } });
  assert.equal(changed.status, 501);
  assert.match(changed.json.message, /service mode change is not allowed/);
});

Deno.test("Services: malformed requests say what is wrong", async () => {
  const { call } = await testAPI(new FakeClock());
  const post = async (body: string) => (await call("POST", "/services/create", body)).json.message;
  assert.equal(await post(""), "got EOF while reading request body");
  assert.match(await post("{bad"), /Cannot parse the request body/);
  assert.match(await post('{"Name":5}'), /InvalidArgument desc = Name: cannot unmarshal number into string/);
  await call("POST", "/services/create", serviceBody("web"));
  const noVersion = await call("POST", "/services/web/update", serviceBody("web"));
  assert.equal(
    noVersion.json.message,
    `invalid service version '': strconv.ParseUint: parsing "": invalid syntax`,
  );
  const versioned = async (version: string) =>
    (await call("POST", `/services/web/update?version=${version}`, serviceBody("web"))).json.message;
  for (const version of ["9007199254740993", "18446744073709551615"]) {
    assert.match(await versioned(version), /update out of sequence$/);
  }
  assert.match(await versioned("18446744073709551616"), /"18446744073709551616": value out of range$/);
});

Deno.test("Services: one without a name gets one, which no other has", async () => {
  const { call, store } = await testAPI(new FakeClock());
  const { Name: _, ...nameless } = serviceBody("");
  for (const body of [nameless, { ...nameless, Name: "" }, { ...nameless, Name: null }]) {
    assert.equal((await call("POST", "/services/create", body)).status, 201);
  }
  const names = store().all("services").map(({ Spec }) => Spec.Name);
  assert.equal(new Set(names).size, 3);
  for (const name of names) assert.match(name, /^[a-z]+_[a-z]+(_[0-9a-z]{8})?$/);
  assert.match(
    (await call("POST", "/services/create", { ...nameless, Name: 5 })).json.message,
    /Name: cannot unmarshal number into string/,
  );
});

Deno.test("Services: null filters nothing", async () => {
  const { call } = await testAPI(new FakeClock());
  await call("POST", "/services/create", serviceBody("web"));
  for (const path of ["/services", "/nodes", "/tasks", "/secrets"]) {
    const all = (await call("GET", path)).json;
    for (const filters of ["null", '{"label":null}', '{"label":{}}']) {
      assert.deepEqual((await call("GET", `${path}?filters=${encodeURIComponent(filters)}`)).json, all);
    }
  }
  for (const role of ["Manager", "MANAGER", ""]) {
    assert.equal((await call("GET", `/nodes?filters={"role":["${role}"]}`)).json.length, 1);
  }
  assert.equal((await call("GET", '/nodes?filters={"role":["worker"],"label":null}')).json.length, 0);
});

Deno.test("Services: filters by name, ID, label, mode and runtime; unknown ones are refused", async () => {
  const { call } = await testAPI(new FakeClock());
  await call("POST", "/services/create", serviceBody("web", { Labels: { tier: "front" } }));
  await call("POST", "/services/create", serviceBody("worker", { Mode: { Global: {} } }));
  await call("POST", "/services/create", processBody("proc"));
  const names = async (filters: unknown) => {
    const { json } = await call("GET", `/services?filters=${encodeURIComponent(JSON.stringify(filters))}`);
    return Array.isArray(json)
      ? json.map((each: { Spec: { Name: string } }) => each.Spec.Name)
      : json.message;
  };
  assert.deepEqual(await names({}), ["web", "worker", "proc"]);
  assert.deepEqual(await names({ name: ["w"] }), ["web", "worker"]);
  assert.deepEqual(await names({ name: { web: true } }), ["web"]);
  assert.deepEqual(await names({ label: ["tier=front"] }), ["web"]);
  assert.deepEqual(await names({ label: ["tier"], mode: ["global"] }), []);
  assert.deepEqual(await names({ mode: ["global"] }), ["worker", "proc"]);
  assert.deepEqual(await names({ runtime: ["process"] }), ["proc"]);
  assert.equal(await names({ foo: ["a"] }), "Invalid filter 'foo'");
  assert.equal((await call("GET", "/services?filters={bad")).status, 400);
});

Deno.test("Services: the status counts running and wanted tasks", async () => {
  const { call, store } = await testAPI(new FakeClock());
  await call("POST", "/services/create", serviceBody("web", { Mode: { Replicated: { Replicas: 4 } } }));
  await store().update((tx) => {
    const service = tx.all("services")[0]!;
    tx.create("tasks", testTask(service, "t1"));
    tx.create("tasks", testTask(service, "t2", { DesiredState: "shutdown" }));
    tx.create("tasks", testTask(service, "t3", { Status: { Timestamp: "", State: "pending", Message: "" } }));
    // On a node that is down, and on one that is not there.
    tx.create("nodes", { ...tx.all("nodes")[0]!, ID: "lost", Status: { State: "down", Addr: "" } });
    for (const NodeID of ["lost", "gone"]) tx.create("tasks", testTask(service, NodeID, { NodeID }));
  });
  const { json } = await call("GET", "/services?status=true");
  assert.deepEqual(json[0].ServiceStatus, { RunningTasks: 2, DesiredTasks: 4, CompletedTasks: 0 });
});

/** One job, its run, and how many complete. */
async function jobAPI(Mode: unknown) {
  const { call, store } = await testAPI(new FakeClock());
  const { json: { ID } } = await call("POST", "/services/create", serviceBody("job", { Mode }));
  const service = async () => (await call("GET", "/services/job")).json;
  const update = async (query: string, change: object = {}) => {
    const { Spec, Version } = await service();
    return await call("POST", `/services/job/update?version=${Version.Index}${query}`, {
      ...Spec,
      ...change,
    });
  };
  return { call, store, service, update, stored: () => store().get("services", ID)! };
}

Deno.test("Jobs: each update and rollback is a run of its own, whatever it changes (42)", async () => {
  const { service, update, stored } = await jobAPI({
    ReplicatedJob: { MaxConcurrent: 2, TotalCompletions: 5 },
  });
  const first = (await service()).JobStatus;
  assert.deepEqual(first.JobIteration, {}, "the first run has no number, as with Docker");
  assert.ok(Date.parse(first.LastExecution) > 0);
  assert.equal((await update("")).status, 200);
  assert.deepEqual((await service()).JobStatus.JobIteration, { Index: 1 });
  assert.equal((await update("&rollback=previous")).status, 200);
  assert.deepEqual(stored().JobStatus?.JobIteration, { Index: 2 });
  assert.equal(stored().UpdateStatus, undefined);
  assert.equal((await update("", { UpdateConfig: { Parallelism: 1 } })).status, 400);
  assert.match(
    (await update("", { Mode: { GlobalJob: {} } })).json.message,
    /service mode change is not allowed/,
  );
  assert.deepEqual(stored().JobStatus?.JobIteration, { Index: 2 });
});

Deno.test("Jobs: the status counts the tasks of the present run as Docker does; lists find jobs by mode", async () => {
  const { call, store, update, stored } = await jobAPI({
    ReplicatedJob: { MaxConcurrent: 2, TotalCompletions: 5 },
  });
  assert.equal((await update("")).status, 200);
  await store().update((tx) => {
    const task = (id: string, Slot: number, State: "running" | "complete", Index: number) => {
      const Status = { Timestamp: "", State, Message: "" };
      tx.create(
        "tasks",
        testTask(stored(), id, { Slot, Status, JobIteration: { Index }, DesiredState: "complete" }),
      );
    };
    task("t1", 0, "complete", 0);
    task("t2", 0, "complete", 1);
    task("t3", 1, "complete", 1);
    task("t4", 2, "running", 1);
  });
  const filters = encodeURIComponent(JSON.stringify({ mode: ["replicated-job"] }));
  const { json: [found] } = await call("GET", `/services?status=true&filters=${filters}`);
  assert.deepEqual(found.ServiceStatus, { RunningTasks: 1, DesiredTasks: 2, CompletedTasks: 2 });
  assert.deepEqual((await call("GET", "/tasks/t4")).json.JobIteration, { Index: 1 });
});

Deno.test("Jobs: of a global job those are desired that have yet to complete", async () => {
  const { call, store, stored } = await jobAPI({ GlobalJob: {} });
  await store().update((tx) => {
    for (const State of ["running", "complete", "failed"] as const) {
      const task = testTask(stored(), State, { NodeID: State, JobIteration: { Index: 0 } });
      const { Slot: _, ...bound } = task;
      const DesiredState = State === "failed" ? "shutdown" : "complete";
      tx.create("tasks", { ...bound, DesiredState, Status: { Timestamp: "", State, Message: "" } });
    }
  });
  const { json: [found] } = await call("GET", "/services?status=true");
  assert.deepEqual(found.ServiceStatus, { RunningTasks: 0, DesiredTasks: 1, CompletedTasks: 1 });
});

Deno.test("Jobs: a client that is older than jobs asks for a replicated service, as Docker reads it", async () => {
  const { call, store } = await testAPI(new FakeClock());
  const modes: [asked: object, meant: object][] = [
    [{ ReplicatedJob: {} }, { Replicated: { Replicas: 1 } }],
    [{ ReplicatedJob: {}, GlobalJob: {} }, { Replicated: { Replicas: 1 } }],
    [{ Replicated: { Replicas: 2 }, GlobalJob: {} }, { Replicated: { Replicas: 2 } }],
    [{ Global: {}, ReplicatedJob: {} }, { Global: {} }],
  ];
  for (const [nth, [Mode, meant]] of modes.entries()) {
    const body = serviceBody(`old-${nth}`, { Mode, UpdateConfig: { Parallelism: 1 } });
    assert.equal((await call("POST", "/v1.40/services/create", body)).status, 201);
    const service = store().all("services").find(({ Spec }) => Spec.Name === body.Name);
    assert.deepEqual([service!.Spec.Mode, service!.JobStatus], [meant, undefined]);
  }
});

Deno.test("Tasks: filters by service, node, desired state, name and what is up to date", async () => {
  const { call, store } = await testAPI(new FakeClock());
  await call("POST", "/services/create", serviceBody("web"));
  await store().update((tx) => {
    const service = tx.all("services")[0]!;
    tx.create("tasks", testTask(service, "t1"));
    tx.create("tasks", testTask(service, "t2", { Slot: 2, NodeID: "", DesiredState: "shutdown" }));
    const old = { ...service.Spec.TaskTemplate, ForceUpdate: 7 };
    tx.create("tasks", testTask(service, "t3", { Slot: 3, Spec: old, SpecVersion: { Index: 99 } }));
  });
  const ids = async (filters: unknown) => {
    const { json } = await call("GET", `/tasks?filters=${encodeURIComponent(JSON.stringify(filters))}`);
    return Array.isArray(json) ? json.map((each: { ID: string }) => each.ID) : json.message;
  };
  assert.deepEqual(await ids({ service: ["web"] }), ["t1", "t2", "t3"]);
  assert.deepEqual(await ids({ node: [`${NODE_ID}.local`] }), ["t1", "t3"]);
  assert.deepEqual(await ids({ "desired-state": ["shutdown"] }), ["t2"]);
  assert.deepEqual(await ids({ "desired-state": ["running"], name: ["web.1."] }), ["t1"]);
  assert.deepEqual(await ids({ "_up-to-date": ["true"] }), ["t1", "t2"]);
  assert.equal(await ids({ service: ["nope"] }), "service nope not found");
  assert.equal(await ids({ "desired-state": ["x"] }), "Invalid desired-state filter: 'x'");
  assert.equal((await call("GET", "/tasks/web.1.t1")).json.ID, "t1");
});

Deno.test("Services: a rollout is shown and controlled, and what makes no sense is refused", async () => {
  const { call, store } = await testAPI(new FakeClock());
  const Labels = { "covey.rollout.stages": "10%,100%" };
  const { json: { ID } } = await call("POST", "/services/create", {
    ...processBody("probe"),
    Mode: { Global: {} },
    Labels,
  });
  const none = await call("GET", "/services/probe/rollout");
  assert.equal(none.status, 400);
  assert.match(
    none.json.message,
    /Cannot show the rollout of probe: there is none: the service was not updated$/,
  );
  const Rollout = {
    Number: 3,
    SpecVersion: 3,
    State: "awaiting_promotion" as const,
    Stage: 0,
    Total: 10,
    Done: 1,
    StageStartedAt: "2026-01-01T00:00:00Z",
    Failed: 0,
    Failures: [],
    Deferred: 0,
    Returned: { Total: 0, Failed: 0 },
  };
  await store().update((tx) => {
    const UpdateStatus = { State: "updating" as const, Message: "", Rollout };
    tx.update("services", { ...tx.get("services", ID)!, UpdateStatus });
  });
  const shown = (await call("GET", "/services/probe/rollout")).json;
  assert.deepEqual([shown.State, shown.Stages], ["awaiting_promotion", [{ Percent: 10 }, { Percent: 100 }]]);
  assert.equal((await call("GET", "/services/probe")).json.UpdateStatus.Rollout.State, "awaiting_promotion");
  assert.equal((await call("POST", "/services/probe/rollout/promote")).status, 200);
  assert.equal(store().get("services", ID)!.UpdateStatus!.Rollout!.Stage, 1);
  assert.match(
    (await call("POST", "/services/probe/rollout/promote")).json.message,
    /Cannot promote the rollout of probe: stage 2 is rolling$/,
  );
  const unknown = await call("POST", "/services/probe/rollout/jump");
  assert.equal(unknown.status, 400);
  assert.match(unknown.json.message, /want promote, pause, resume, abort, retry, current value is "jump"$/);
  await call("DELETE", "/services/probe");
  assert.equal((await call("POST", "/services/probe/rollout/abort")).status, 404);
});

Deno.test("Services: why a service, a task and a node are as they are is told", async () => {
  const { call, store } = await testAPI(new FakeClock());
  await call("POST", "/services/create", { ...processBody("probe"), Mode: { Global: {} } });
  const { ID } = (await call("GET", "/services/probe")).json;
  const service = (await call("GET", "/services/probe/explain")).json;
  assert.deepEqual([service.ID, service.Name, service.Counts], [ID, "probe", { pending: 1 }]);
  assert.deepEqual(service.Places.map(({ NodeID }: { NodeID: string }) => NodeID), [NODE_ID]);
  const node = (await call("GET", `/nodes/${NODE_ID}/explain`)).json;
  assert.deepEqual(node.Places, service.Places);
  await store().update((tx) => {
    const { Slot: _, ...task } = testTask(tx.get("services", ID)!, "t1");
    tx.create("tasks", task);
  });
  const [place] = (await call("GET", "/tasks/t1/explain")).json.Places;
  assert.deepEqual([place.TaskID, place.Standing], ["t1", "running"]);
  for (const path of ["/services/nope/explain", "/nodes/nope/explain", "/tasks/nope/explain"]) {
    assert.equal((await call("GET", path)).status, 404);
  }
});
