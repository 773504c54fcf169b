import assert from "node:assert/strict";
import { connectEngine } from "../../../manager/http/engine.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { serviceBody, testAPI } from "./fake_node.ts";

Deno.test("API versions: each from 1.24 to 1.51 is served, and none besides", async () => {
  const { call } = await testAPI(new FakeClock());
  for (let minor = 24; minor <= 51; minor++) {
    assert.equal((await call("GET", `/v1.${minor}/nodes`)).status, 200);
  }
  for (const [version, word] of [["1.23", "old"], ["1.52", "new"], ["2.0", "new"], ["0.1", "old"]]) {
    const { status, json } = await call("GET", `/v${version}/nodes`);
    assert.equal(status, 400);
    assert.match(
      json.message,
      new RegExp(`^client version ${version} is too ${word}\\. M\\w+ supported API version is 1\\.`),
    );
  }
});

Deno.test("API versions: a client that is older than templates is refused them, in Docker's words", async () => {
  const { call } = await testAPI(new FakeClock());
  for (const kind of ["secret", "config"]) {
    const make = (version: string, Name: string, more: object) =>
      call("POST", `/${version}/${kind}s/create`, { Name, Data: "YQ==", ...more });
    const refused = await make("v1.36", "a", { templating: { Name: "golang" } });
    const words = `${kind} templating is not supported on the specified API version: 1.36`;
    assert.deepEqual([refused.status, refused.json.message], [400, words]);
    for (const [version, Templating] of [["v1.36", null], ["v1.37", { Name: "golang" }]] as const) {
      assert.equal((await make(version, version.replace(".", "-"), { Templating })).status, 201);
    }
  }
});

Deno.test("API versions: an older request means what its version had", async () => {
  const { call, store } = await testAPI(new FakeClock());
  const ContainerSpec = {
    Image: "busybox",
    Sysctls: { a: "b" },
    CapabilityAdd: ["CAP_KILL"],
    Privileges: { NoNewPrivileges: true },
    OomScoreAdj: 5,
  };
  const fieldsOf = async (version: string) => {
    const name = `s${version.replaceAll(".", "-")}`;
    const body = serviceBody(name, { TaskTemplate: { ContainerSpec, Placement: { MaxReplicas: 2 } } });
    const { status } = await call("POST", `${version && `/v${version}`}/services/create`, body);
    assert.equal(status, 201);
    const { TaskTemplate } = store().all("services").find(({ Spec }) => Spec.Name === name)!.Spec;
    const { Sysctls, CapabilityAdd, Privileges, OomScoreAdj } = TaskTemplate.ContainerSpec!;
    return [
      Sysctls,
      TaskTemplate.Placement?.MaxReplicas,
      CapabilityAdd,
      Privileges?.NoNewPrivileges,
      OomScoreAdj,
    ]
      .map((each) => each !== undefined);
  };
  assert.deepEqual(await fieldsOf("1.24"), [false, false, false, false, false]);
  assert.deepEqual(await fieldsOf("1.40"), [true, true, false, false, false]);
  assert.deepEqual(await fieldsOf("1.41"), [true, true, true, false, false]);
  assert.deepEqual(await fieldsOf("1.44"), [true, true, true, true, false]);
  assert.deepEqual(await fieldsOf("1.51"), [true, true, true, true, true]);
  const [old] = (await call("GET", "/v1.40/services?status=true")).json;
  const [now] = (await call("GET", "/v1.41/services?status=true")).json;
  assert.deepEqual([old.ServiceStatus, now.ServiceStatus.RunningTasks], [undefined, 0]);
});

/** An engine whose `/version` says what `version` says at the time. */
async function withEngineOf(version: () => unknown, run: (socket: string) => Promise<void>) {
  const dir = await Deno.makeTempDir();
  const path = `${dir}/engine.sock`;
  const server = Deno.serve({ path, onListen: () => {} }, () => Response.json(version()));
  try {
    await run(path);
  } finally {
    await server.shutdown();
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("API versions: an engine gets its own where it does not speak the client's", async () => {
  const clock = new FakeClock();
  let version: Record<string, string> = { ApiVersion: "1.41", MinAPIVersion: "1.12" };
  await withEngineOf(() => version, async (socket) => {
    const engine = connectEngine(socket, clock);
    assert.equal(await engine.target("/v1.51/images/json?all=1"), "/v1.41/images/json?all=1");
    assert.equal(await engine.target("/v1.24/info"), "/v1.24/info");
    assert.equal(await engine.target("/containers/json"), "/containers/json");
    version = { ApiVersion: "1.52", MinAPIVersion: "1.44" };
    await clock.advance(30_000);
    assert.equal(await engine.target("/v1.51/info"), "/v1.51/info");
    assert.equal(await engine.target("/v1.24/info"), "/v1.44/info");
    engine.close();
  });
  const gone = connectEngine("/nonexistent/engine.sock", clock);
  assert.equal(await gone.target("/v1.51/info"), "/v1.51/info");
  gone.close();
});
