/** Networks that every engine has: what services may ask for, and how clients find them. */
import assert from "node:assert/strict";
import { FakeClock } from "../../support/fake_clock.ts";
import { responseProblems } from "./docker_schema.ts";
import { processBody, serviceBody, testAPI, testTask } from "./fake_node.ts";

const OF_THE_ENGINE = "ab".repeat(32), ANOTHER = "cd".repeat(32);

const onNetwork = (name: string, ...targets: string[]) =>
  serviceBody(name, {
    TaskTemplate: {
      ContainerSpec: { Image: "busybox:local" },
      Networks: targets.map((Target) => ({ Target, Aliases: ["a"] })),
    },
  });

/** The control API with an engine whose own host network has the ID `OF_THE_ENGINE`. */
async function withEngine(run: (api: Awaited<ReturnType<typeof testAPI>>) => Promise<void>) {
  const dir = await Deno.makeTempDir(), engine = `${dir}/engine.sock`;
  const names: Record<string, string> = { [OF_THE_ENGINE]: "host", [ANOTHER]: "shop_default" };
  const server = Deno.serve({ path: engine, onListen: () => {} }, ({ url }) => {
    const Id = url.split("/").at(-1)!;
    return Response.json({ Id, Name: names[Id] }, { status: Id in names ? 200 : 404 });
  });
  const api = await testAPI(new FakeClock(), { engine });
  try {
    await run(api);
  } finally {
    api.api.close();
    await server.shutdown();
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("Networks: host, bridge and none are kept by name and shown by ID", async () => {
  const { call, store } = await testAPI(new FakeClock());
  for (const Name of ["host", "bridge", "none"]) {
    const network = (await call("GET", `/networks/${Name}?scope=swarm`)).json;
    assert.deepEqual(responseProblems("GET", `/networks/${Name}`, 200, network), []);
    assert.equal(network.Id.length, 25);
    assert.deepEqual((await call("GET", `/networks/${network.Id}`)).json, network);
    for (const target of [Name, network.Id]) {
      const { status, json } = await call("POST", "/services/create", onNetwork(`by-${target}`, target));
      assert.equal(status, 201, json.message);
      const service = store().get("services", json.ID)!;
      assert.deepEqual(service.Spec.TaskTemplate.Networks, [{ Target: Name, Aliases: ["a"] }]);
      const { Spec, Version } = (await call("GET", `/services/${json.ID}`)).json;
      assert.deepEqual(Spec.TaskTemplate.Networks, [{ Target: network.Id, Aliases: ["a"] }]);
      await call("POST", `/services/${json.ID}/update?version=${Version.Index}`, Spec);
      assert.deepEqual(store().get("services", json.ID)!.Spec, service.Spec);
      await store().update((tx) => tx.create("tasks", testTask(service, `task-${target}`)));
      const task = (await call("GET", `/tasks/task-${target}`)).json;
      assert.deepEqual(responseProblems("GET", "/tasks/x", 200, task), []);
      const [{ Network }] = task.NetworksAttachments;
      assert.deepEqual([Network.ID, Network.Spec.Name], [network.Id, Name]);
    }
  }
});

Deno.test("Networks: others, several, and those of programs are refused by name", async () => {
  const { call } = await testAPI(new FakeClock());
  const refused = async (body: unknown, message: RegExp) => {
    const { status, json } = await call("POST", "/services/create", body);
    assert.equal(status, 400);
    assert.match(json.message, message);
  };
  await refused(onNetwork("web", "shop"), /network shop not found/);
  await refused(onNetwork("web", ""), /Target.*is required/);
  await refused(onNetwork("web", "host", "bridge"), /network host cannot be used together with others/);
  await refused(onNetwork("web", OF_THE_ENGINE), new RegExp(`network ${OF_THE_ENGINE} not found`));
  const program = processBody("clock");
  const onTargets = (...targets: string[]) => ({
    ...program,
    TaskTemplate: { ...program.TaskTemplate, Networks: targets.map((Target) => ({ Target })) },
  });
  await refused(onTargets("bridge"), /a program is in its device's network \(host\), or in .*: bridge/);
  await refused(onTargets("none"), /a program is in its device's network \(host\), or in .*: none/);
  await refused(
    { ...program, EndpointSpec: { Ports: [{ TargetPort: 80, PublishedPort: 8080 }] } },
    /ingress mode cannot be used with network host, where programs are that name none/,
  );
  assert.equal((await call("POST", "/services/create", onTargets("host"))).status, 201);
  const other = { Name: "x", TaskTemplate: { Runtime: "mine", GenericSpec: { Payload: {} } } };
  await refused(
    { ...other, TaskTemplate: { ...other.TaskTemplate, Networks: [{ Target: "host" }] } },
    /networks are for containers and programs/,
  );
  assert.equal((await call("GET", "/networks/shop?scope=swarm")).status, 404);
  assert.equal((await call("GET", "/networks/host?scope=local")).status, 404);
});

Deno.test("Networks: a client that names them beside the task template sees them there, and may go on so", async () => {
  const { call, store } = await testAPI(new FakeClock());
  const { json } = await call(
    "POST",
    "/v1.24/services/create",
    serviceBody("web", { Networks: [{ Target: "host" }], EndpointSpec: {} }),
  );
  const { Spec, Endpoint, Version } = (await call("GET", `/services/${json.ID}`)).json;
  assert.equal(Spec.Networks.length, 1);
  assert.equal(Spec.TaskTemplate.Networks, undefined);
  const counting = () => store().get("services", json.ID)!.Spec.TaskTemplate.Networks;
  assert.deepEqual(counting(), [{ Target: "host" }]);
  const update = async (version: number, spec: unknown) => {
    assert.equal((await call("POST", `/services/${json.ID}/update?version=${version}`, spec)).status, 200);
    return (await call("GET", `/services/${json.ID}`)).json;
  };
  const again = await update(Version.Index, { ...Spec, Labels: { a: "b" } });
  assert.deepEqual(again.Spec.Networks, Spec.Networks);
  assert.deepEqual(counting(), [{ Target: "host" }]);
  // Those of the task template count, and are shown beside the others.
  const TaskTemplate = { ...Spec.TaskTemplate, Networks: [{ Target: "bridge" }] };
  const moved = await update(again.Version.Index, { ...Spec, TaskTemplate });
  assert.deepEqual([moved.Spec.Networks.length, moved.Spec.TaskTemplate.Networks.length], [1, 1]);
  assert.notDeepEqual(moved.Spec.Networks, moved.Spec.TaskTemplate.Networks);
  assert.deepEqual(counting(), [{ Target: "bridge" }]);
  const unknown = serviceBody("other", { Networks: [{ Target: "nowhere" }] });
  const refused = await call("POST", "/services/create", unknown);
  assert.match(refused.json.message, /network nowhere not found/);
  assert.deepEqual(Endpoint, { Spec: { Mode: "vip" } });
  const dnsrr = serviceBody("dnsrr", { Networks: [{ Target: "host" }], EndpointSpec: { Mode: "dnsrr" } });
  await call("POST", "/services/create", dnsrr);
  assert.deepEqual((await call("GET", "/services/dnsrr")).json.Endpoint, { Spec: {} });
});

Deno.test("Networks: the ID that the local engine gives its own is understood", async () => {
  await withEngine(async ({ call, store }) => {
    const { json } = await call("POST", "/services/create", onNetwork("web", OF_THE_ENGINE));
    const { Spec, Version } = store().get("services", json.ID)!;
    assert.equal(Spec.TaskTemplate.Networks![0]!.Target, "host");
    const update = `/services/${json.ID}/update?version=${Version.Index}`;
    for (const target of [ANOTHER, "ef".repeat(32)]) {
      const { status, json: refusal } = await call("POST", update, onNetwork("web", target));
      assert.equal(status, 400);
      const reason = target === ANOTHER ? /Only networks scoped to the swarm can be used/ : / not found/;
      assert.match(refusal.message, reason);
    }
    assert.equal((await call("POST", update, onNetwork("web", OF_THE_ENGINE))).status, 200);
  });
});

Deno.test("Networks: without an engine the list has those that all others have", async () => {
  const { call, node } = await testAPI(new FakeClock());
  const names = async (filters: unknown) => {
    const { json } = await call("GET", `/networks?filters=${encodeURIComponent(JSON.stringify(filters))}`);
    assert.deepEqual(responseProblems("GET", "/networks", 200, json), []);
    return json.map(({ Name }: { Name: string }) => Name);
  };
  assert.deepEqual(await names({}), ["bridge", "host", "none"]);
  assert.deepEqual(await names({ name: ["ho"] }), ["host"]);
  assert.deepEqual(await names({ driver: ["null"], scope: ["swarm"] }), ["none"]);
  assert.deepEqual(await names({ type: ["custom"] }), []);
  assert.equal((await call("GET", "/networks?filters=x")).status, 400);
  node.manager = undefined;
  assert.deepEqual((await call("GET", "/networks")).json, []);
  assert.equal((await call("GET", "/networks/host?scope=swarm")).status, 404);
});
