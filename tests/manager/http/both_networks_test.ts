/** The swarm's networks and those of the engine beside, as one: what is whose, and what each is asked. */
import assert from "node:assert/strict";
import { FakeClock } from "../../support/fake_clock.ts";
import { testAPI } from "./fake_node.ts";

interface EngineNetwork {
  Id: string;
  Name: string;
  Driver: string;
}

const HOST = { Id: "ab".repeat(32), Name: "host", Driver: "host" };
const LOCAL = { Id: "cd".repeat(32), Name: "shop_default", Driver: "bridge" };

/** The control API beside an engine that has these networks and remembers what it was asked. */
async function withEngine(
  run: (
    api: Awaited<ReturnType<typeof testAPI>> & { asked: string[]; networks: EngineNetwork[] },
  ) => Promise<void>,
) {
  const dir = await Deno.makeTempDir(), engine = `${dir}/engine.sock`;
  const networks: EngineNetwork[] = [HOST, LOCAL], asked: string[] = [];
  const server = Deno.serve({ path: engine, onListen: () => {} }, async (request) => {
    const path = request.url.replace(/^[^/]*\/\/[^/]*/, "").replace(/^\/v[\d.]+/, "");
    const body = await request.text();
    if (path === "/version") return Response.json({ ApiVersion: "1.44", MinAPIVersion: "1.24" });
    asked.push(`${request.method} ${path}${body && ` ${body}`}`);
    if (path === "/networks/prune") return Response.json({ NetworksDeleted: ["old"] });
    if (path.startsWith("/containers/create")) {
      return Response.json({ Id: "c", Warnings: [] }, { status: 201 });
    }
    if (path === "/networks/create") return Response.json({ Id: LOCAL.Id, Warning: "" }, { status: 201 });
    if (path.split("?", 1)[0] === "/networks") return Response.json(networks);
    const [, reference = "", action] = /^\/networks\/([^/?]+)\/?(\w*)/.exec(path) ?? [];
    const found = networks.find(({ Id, Name }) => Id === reference || Name === reference) ??
      networks.find(({ Id }) => Id.startsWith(reference));
    if (found === undefined) {
      return Response.json({ message: `network ${reference} not found` }, { status: 404 });
    }
    if (request.method === "DELETE") {
      if (found.Name === "host") {
        const message = "host is a pre-defined network and cannot be removed";
        return Response.json({ message }, { status: 403 });
      }
      return new Response(null, { status: 204 });
    }
    return action ? new Response(null, { status: 200 }) : Response.json(found);
  });
  const api = await testAPI(new FakeClock(), { engine });
  try {
    await run({ ...api, asked, networks });
  } finally {
    api.api.close();
    await server.shutdown();
    await Deno.remove(dir, { recursive: true });
  }
}

const overlay = (Name: string) => ({ Name, Driver: "overlay" });

Deno.test("Both networks: one list has the swarm's and the engine's, which does its own filtering", async () => {
  await withEngine(async ({ call, asked, node }) => {
    await call("POST", "/networks/create", overlay("mesh"));
    const names = async (query = "") =>
      (await call("GET", `/v1.51/networks${query}`)).json.map(({ Name }: { Name: string }) => Name);
    assert.deepEqual(await names(), ["mesh", "host", "shop_default"]);
    asked.length = 0;
    const filters = `?filters=${encodeURIComponent('{"driver":["overlay"]}')}`;
    assert.deepEqual(
      await names(filters),
      ["mesh", "host", "shop_default"],
      "what the engine answers is passed on",
    );
    assert.deepEqual(asked, [`GET /networks${filters}`]);
    // While the swarm has no leader, or the node is in none, the engine's are still there.
    node.consensus!.setLeader(false);
    assert.deepEqual(await names(), ["host", "shop_default"]);
    await node.leave(true);
    assert.deepEqual(await names(), ["host", "shop_default"]);
  });
});

Deno.test("Both networks: a name or the beginning of an ID means the one that it fits best", async () => {
  await withEngine(async ({ call, networks }) => {
    const mesh = (await call("POST", "/networks/create", overlay("mesh"))).json.Id;
    const found = async (reference: string) => {
      const { status, json } = await call("GET", `/networks/${reference}`);
      return status === 200 ? json.Id : [status, json.message];
    };
    assert.equal(await found("mesh"), mesh);
    assert.equal(await found("host"), HOST.Id, "the engine's, as Docker shows it");
    assert.equal(await found("cd"), LOCAL.Id);
    assert.deepEqual(await found("nosuch"), [404, "network nosuch not found"]);
    assert.equal((await call("GET", "/networks/host?scope=swarm")).json.Scope, "swarm");
    assert.equal((await call("GET", "/networks/mesh?scope=local")).status, 404);
    networks.push({ Id: "ef".repeat(32), Name: "mesh", Driver: "bridge" });
    assert.deepEqual(await found("mesh"), [400, "network mesh is ambiguous (2 matches found on name)"]);
    assert.equal(await found(mesh), mesh);
  });
});

Deno.test("Both networks: what is made, removed and pruned is asked of whose it is", async () => {
  await withEngine(async ({ call, asked, store }) => {
    const made = await call("POST", "/networks/create", {
      Name: "shop_default",
      Driver: "bridge",
      CheckDuplicate: true,
    });
    assert.deepEqual(made.json, { Id: LOCAL.Id, Warning: "" });
    assert.equal(store().count("networks"), 0);
    const Id = (await call("POST", "/networks/create", overlay("mesh"))).json.Id;
    assert.ok(store().get("networks", Id));
    const taken = await call("POST", "/networks/create", { Name: "mesh", Driver: "bridge" });
    assert.deepEqual([taken.status, taken.json.message], [409, "network with name mesh already exists"]);
    await call("POST", "/networks/create", overlay("idle"));
    assert.equal((await call("DELETE", "/networks/mesh")).status, 204);
    assert.equal((await call("DELETE", "/networks/shop_default")).status, 204);
    const host = await call("DELETE", "/networks/host");
    assert.deepEqual([host.status, host.json.message], [
      403,
      "host is a pre-defined network and cannot be removed",
    ]);
    assert.deepEqual((await call("POST", "/networks/prune")).json, { NetworksDeleted: ["old", "idle"] });
    const creations = asked.filter((each) => each.includes("/create"));
    assert.deepEqual(creations, [
      'POST /networks/create {"Name":"shop_default","Driver":"bridge","CheckDuplicate":true}',
    ]);
    assert.ok(asked.includes("DELETE /networks/shop_default"));
    assert.ok(!asked.some((each) => /DELETE .*mesh/.test(each)));
  });
});

Deno.test("Both networks: a container is in the engine's; of the swarm's it is said what to do instead", async () => {
  await withEngine(async ({ call, asked }) => {
    await call("POST", "/networks/create", overlay("mesh"));
    const body = { Container: "c1" };
    assert.equal((await call("POST", "/networks/shop_default/connect", body)).status, 200);
    assert.ok(asked.includes('POST /networks/shop_default/connect {"Container":"c1"}'));
    const inMesh = { Image: "a", HostConfig: { NetworkMode: "mesh" } };
    const refused: [string, unknown][] = [
      ["/networks/mesh/connect", body],
      ["/networks/mesh/disconnect", body],
      ["/containers/create?name=x", inMesh],
      ["/v1.41/containers/create", { hostconfig: { networkmode: "mesh" } }],
      ["/containers/create", { NetworkingConfig: { EndpointsConfig: { mesh: {} } } }],
    ];
    for (const [path, sent] of refused) {
      const { status, json } = await call("POST", path, sent);
      assert.equal(status, 501, path);
      assert.match(json.message, /network mesh is the swarm's, .*docker service create --network mesh/);
    }
    for (const NetworkMode of ["shop_default", "host", "default", "container:x", "nobody"]) {
      const sent = { Image: "a", HostConfig: { NetworkMode } };
      const { status } = await call("POST", "/containers/create?name=x", sent);
      assert.equal(status, 201, NetworkMode);
      assert.equal(asked.at(-1), `POST /containers/create?name=x ${JSON.stringify(sent)}`);
    }
  });
});

Deno.test("Both networks: a number that cannot be kept exactly is passed on digit by digit, and refused by the swarm", async () => {
  await withEngine(async ({ call, asked }) => {
    const body = (driver: string) => `{"Name":"a","Driver":"${driver}","Scope":18446744073709551616}`;
    assert.equal((await call("POST", "/networks/create", body("bridge"))).status, 201);
    assert.equal(asked.at(-1), `POST /networks/create ${body("bridge")}`);
    const { status, json } = await call("POST", "/networks/create", body("overlay"));
    assert.deepEqual([status, /Scope/.test(json.message)], [400, true], json.message);
  });
});

Deno.test("Both networks: whose a network is to be is read in any case, and Docker's own names are taken for both", async () => {
  await withEngine(async ({ call, asked, store }) => {
    const folded = { Name: "mesh", driver: "overlay", IPAM: { Driver: "DEFAULT" } };
    const { status, json } = await call("POST", "/networks/create", folded);
    assert.deepEqual([status, store().get("networks", json.Id)?.Spec.Name], [201, "mesh"]);
    const local = await call("POST", "/networks/create", {
      Name: "other",
      driver: "overlay",
      scope: "local",
    });
    assert.equal(local.status, 403);
    const taken = await call("POST", "/networks/create", { name: "mesh", driver: "bridge" });
    assert.deepEqual([taken.status, taken.json.message], [409, "network with name mesh already exists"]);
    for (const Name of ["host", "bridge"]) {
      const refused = await call("POST", "/networks/create", { Name, Driver: "bridge" });
      assert.deepEqual([refused.status, refused.json.message], [
        409,
        `network with name ${Name} already exists`,
      ]);
    }
    assert.ok(!asked.some((each) => each.includes("/create")), "the engine is asked for none of them");
  });
});

Deno.test("Both networks: an engine that takes its time over a change is waited for", async () => {
  await withEngine(async ({ call, asked }) => {
    const { timeout } = AbortSignal;
    AbortSignal.timeout = () => AbortSignal.abort();
    try {
      const list = await call("GET", "/networks");
      assert.deepEqual(list.json, [], "what is only looked at does without the engine");
      const made = await call("POST", "/networks/create", { Name: "slow", Driver: "bridge" });
      assert.deepEqual([made.status, made.json.Id], [201, LOCAL.Id]);
      assert.deepEqual(asked, ['POST /networks/create {"Name":"slow","Driver":"bridge"}']);
    } finally {
      AbortSignal.timeout = timeout;
    }
  });
});
