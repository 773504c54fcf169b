/** Details of Docker's answers that clients of it were seen to depend on; each was compared with an engine. */
import assert from "node:assert/strict";
import { FakeClock } from "../../support/fake_clock.ts";
import { serviceBody, testAPI } from "./fake_node.ts";

Deno.test("Docker's answers: a container comes back as Docker shows it", async () => {
  const { call } = await testAPI(new FakeClock());
  const ContainerSpec = {
    Image: "busybox",
    Mounts: [
      { Type: "bind", Source: "/tmp", Target: "/x", Consistency: "cached", BindOptions: {} },
      { Type: "bind", Source: "/tmp", Target: "/y", BindOptions: { NonRecursive: true } },
      { Type: "volume", Source: "v", Target: "/w", VolumeOptions: { DriverConfig: {} } },
    ],
    Privileges: { SELinuxContext: { User: "x" } },
    Ulimits: [{ Name: "nofile", Soft: 1, Hard: 2 }],
  };
  await call("POST", "/services/create", serviceBody("web", { TaskTemplate: { ContainerSpec } }));
  const { Spec } = (await call("GET", "/services/web")).json;
  assert.equal(
    JSON.stringify(Spec.TaskTemplate.ContainerSpec),
    '{"Image":"busybox","Privileges":{"CredentialSpec":null,"SELinuxContext":{"Disable":false,"User":"x","Role":"",' +
      '"Type":"","Level":""}},"Mounts":[{"Type":"bind","Source":"/tmp","Target":"/x"},{"Type":"bind","Source":"/tmp",' +
      '"Target":"/y","BindOptions":{"Propagation":"rprivate","NonRecursive":true}},{"Type":"volume","Source":"v",' +
      '"Target":"/w","VolumeOptions":{"DriverConfig":{}}}],"Isolation":"default","Ulimits":[{"Name":"nofile","Hard":2,"Soft":1}]}',
  );
  await call("POST", "/services/create", { ...Spec, Name: "again" });
  assert.deepEqual((await call("GET", "/services/again")).json.Spec, { ...Spec, Name: "again" });
  const bare = serviceBody("bare", { TaskTemplate: { ContainerSpec: { Image: "busybox", Privileges: {} } } });
  await call("POST", "/services/create", bare);
  assert.deepEqual((await call("GET", "/services/bare")).json.Spec.TaskTemplate.ContainerSpec.Privileges, {
    CredentialSpec: null,
    SELinuxContext: null,
  });
});

Deno.test("Docker's answers: the swarm shows the address pool that Docker has by default", async () => {
  const { call } = await testAPI(new FakeClock());
  for (const shown of [(await call("GET", "/swarm")).json, (await call("GET", "/info")).json.Swarm.Cluster]) {
    assert.deepEqual([shown.DefaultAddrPool, shown.SubnetSize], [["10.0.0.0/8"], 24]);
  }
});

Deno.test("Docker's answers: refusals have moby's status and words", async () => {
  const clock = new FakeClock();
  const { call } = await testAPI(clock), alone = (await testAPI(clock, { init: false })).call;
  await call("POST", "/services/create", serviceBody("web"));
  const { Index } = (await call("GET", "/services/web")).json.Version;
  const update = `/services/web/update?version=${Index}`;
  const noStream = "Bad parameters: you must choose at least one stream";
  const cases: [method: string, path: string, body: unknown, status: number, message: string][] = [
    ["POST", `${update}&registryAuthFrom=x`, serviceBody("web"), 500, "unsupported registryAuthFrom value"],
    ["POST", `${update}&rollback=x`, serviceBody("web"), 500, "unrecognized rollback option x"],
    ["GET", "/services/web/logs", undefined, 400, noStream],
    ["GET", "/tasks/none/logs?stdout=0", undefined, 400, noStream],
    ["GET", "/services/none/logs?stdout=1", undefined, 404, "service none not found"],
    ["GET", "/tasks/none/logs?stderr=true", undefined, 404, "task none not found"],
    ["POST", "/secrets/none/update", {}, 400, "invalid secret version"],
    ["POST", "/configs/none/update?version=x", {}, 400, "invalid config version"],
    ["POST", "/secrets/none/update?version=1", {}, 404, "secret none not found"],
    ["POST", "/swarm/unlock", {}, 409, "swarm is not locked"],
  ];
  for (const [method, path, body, status, message] of cases) {
    const answer = await call(method, path, body);
    assert.deepEqual([answer.status, answer.json.message], [status, message], `${method} ${path}`);
  }
  for (const path of ["/swarm/init", "/swarm/join"]) {
    const { status, json } = await call("POST", path, { ListenAddr: 5 });
    assert.equal(status, 503, path);
    assert.match(json.message, /^This node is already part of a swarm/);
  }
  for (const path of ["/swarm/unlock", "/services/create", "/services/x/update?version=1"]) {
    const { status, json } = await alone("POST", path, {});
    assert.equal(status, 503, path);
    assert.match(json.message, /^This node is not a swarm manager\. Use "docker swarm init"/, path);
  }
});

Deno.test("Docker's answers: of several mistakes the one is told that Docker finds first", async () => {
  const { call } = await testAPI(new FakeClock());
  const file = { Name: "x", UID: "0", GID: "0", Mode: 292 };
  const Secrets = [{ SecretID: "nosuch", SecretName: "key", File: file }];
  const missing = { TaskTemplate: { ContainerSpec: { Image: "busybox", Secrets } } };
  await call("POST", "/services/create", serviceBody("web"));
  await call("POST", "/configs/create", { Name: "rules", Data: "YQ==" });
  const stale = "/services/web/update?version=0";
  const cases: [path: string, body: unknown, status: number, message: RegExp][] = [
    ["/services/create", serviceBody("web", missing), 400, /secret not found: key/],
    ["/services/create", serviceBody("web"), 409, /service web already exists/],
    [stale, serviceBody("web", { ...missing, Mode: { Global: {} } }), 400, /secret not found: key/],
    [stale, serviceBody("web", { Mode: { Global: {} } }), 501, /service mode change is not allowed/],
    [stale, { ...serviceBody("web"), Name: "" }, 501, /renaming services is not supported/],
    [stale, serviceBody("other"), 501, /renaming services is not supported/],
    [stale, serviceBody("web"), 500, /update out of sequence/],
    ["/configs/rules/update?version=0", { Name: "other" }, 400, /only updates to Labels are allowed/],
    ["/configs/rules/update?version=0", { Name: "rules" }, 500, /update out of sequence/],
  ];
  for (const [path, body, status, message] of cases) {
    const answer = await call("POST", path, body);
    assert.equal(answer.status, status, answer.json.message);
    assert.match(answer.json.message, message);
  }
});

Deno.test("Docker's answers: without an engine its objects are not found, and its networks a list", async () => {
  const { call } = await testAPI(new FakeClock());
  const missing: Record<string, string> = {
    "/containers/x/json": "No such container: x",
    "/containers/x/logs?stdout=1": "No such container: x",
    "/images/a/b/c/json": "No such image: a/b/c:latest",
    "/images/localhost:5000%2Fweb:1/json": "No such image: localhost:5000/web:1",
    "/networks/x": "network x not found",
    "/v1.44/volumes/x": "get x: no such volume",
    "/plugins/x/json": 'plugin "x" not found',
    "/exec/x/json": "No such exec instance: x",
  };
  for (const [path, message] of Object.entries(missing)) {
    assert.deepEqual(await call("GET", path), { status: 404, json: { message } }, path);
  }
  assert.equal((await call("GET", "/networks")).status, 200);
  for (const path of ["/containers/json", "/images/json", "/volumes"]) {
    assert.equal((await call("GET", path)).status, 503, path);
  }
  assert.equal((await call("POST", "/containers/create", {})).status, 503);
});

Deno.test("Docker's answers: force is meant unless it says no", async () => {
  const { call, node } = await testAPI(new FakeClock());
  for (const no of ["", "0", "no", "False", "none"]) {
    assert.equal((await call("POST", `/swarm/leave?force=${no}`)).status, 503, no);
  }
  assert.equal((await call("POST", "/swarm/leave?force=True")).status, 200);
  assert.deepEqual(node.asked.at(-1), { force: true });
});
