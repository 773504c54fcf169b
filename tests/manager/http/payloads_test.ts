/** `/secrets` and `/configs`: Docker's schema, its limits and its words, and that a secret's bytes never come back. */
import assert from "node:assert/strict";
import { ADMINISTRATOR } from "../../../manager/control/caller.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { responseProblems } from "./docker_schema.ts";
import { processBody, serviceBody, testAPI } from "./fake_node.ts";

type Kind = "secret" | "config";
const KINDS = ["secret", "config"] as const;
const RPC = "rpc error: code = InvalidArgument desc = ";
const base64 = (bytes: number) => new Uint8Array(bytes).fill(97).toBase64();

async function fixture() {
  const clock = new FakeClock();
  const { api, store } = await testAPI(clock);
  const call = async (method: string, path: string, body?: unknown) => {
    const response = await api.app.request(path, {
      method,
      headers: { "User-Agent": "Docker-Client/28" },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    }, { caller: ADMINISTRATOR });
    const text = await response.text(), json = text === "" ? undefined : JSON.parse(text);
    // The schema says `Id`; Docker's own answer, and what its clients read, is `ID`.
    const described = json?.ID !== undefined && path.endsWith("/create") ? { ...json, Id: json.ID } : json;
    assert.deepEqual(
      responseProblems(method, path, response.status, described),
      [],
      `${method} ${path} ${text}`,
    );
    return { status: response.status, json, text };
  };
  const refused = async (status: number, message: string, method: string, path: string, body?: unknown) => {
    const answer = await call(method, path, body);
    assert.deepEqual([answer.status, answer.json.message], [status, message], `${method} ${path}`);
  };
  const create = async (kind: Kind, Name: string, more: object = {}) =>
    (await call("POST", `/${kind}s/create`, { Name, Data: "YWJj", ...more })).json.ID as string;
  return { api, clock, call, refused, create, store };
}

const reference = (kind: Kind, id: string, name: string, more: object = {}) =>
  kind === "secret"
    ? { SecretID: id, SecretName: name, File: { Name: name, UID: "0", GID: "0", Mode: 0o444 }, ...more }
    : { ConfigID: id, ConfigName: name, File: { Name: name, UID: "0", GID: "0", Mode: 0o444 }, ...more };
const field = (kind: Kind) => kind === "secret" ? "Secrets" : "Configs";
const container = (name: string, kind: Kind, references: unknown[]) =>
  serviceBody(name, { TaskTemplate: { ContainerSpec: { Image: "busybox", [field(kind)]: references } } });
const process = (name: string, kind: Kind, references: unknown[]) => {
  const { TaskTemplate, ...body } = processBody(name);
  return {
    ...body,
    TaskTemplate: {
      ...TaskTemplate,
      ProcessSpec: { ...TaskTemplate.ProcessSpec, [field(kind)]: references },
    },
  };
};

for (const kind of KINDS) {
  Deno.test(`API: a ${kind} is made, found, relabelled and removed as Docker does it`, async () => {
    const { call, create } = await fixture();
    const id = await create(kind, "a", { Labels: { x: "y" } });
    await create(kind, "b", { Templating: { Name: "golang" } });
    assert.deepEqual((await call("GET", `/${kind}s/b`)).json.Spec.Templating, { Name: "golang" });
    const Data = kind === "config" ? { Data: "YWJj" } : {};
    const shown = (await call("GET", `/${kind}s/a`)).json;
    assert.deepEqual(shown.Spec, { Name: "a", Labels: { x: "y" }, ...Data });
    const names = async (filters: object) =>
      (await call("GET", `/${kind}s?filters=${encodeURIComponent(JSON.stringify(filters))}`)).json
        .map((each: { Spec: { Name: string } }) => each.Spec.Name);
    assert.deepEqual(await names({}), ["a", "b"]);
    assert.deepEqual(await names({ name: ["a"] }), ["a"]);
    assert.deepEqual(await names({ label: ["x=y"] }), ["a"]);
    assert.deepEqual(await names({ id: [id] }), ["a"]);
    assert.deepEqual(await names({ id: [id], name: ["B"] }), ["a", "b"], "one of both is enough");
    assert.deepEqual(await names({ id: [id], name: ["B"], label: ["x"] }), ["a"]);
    if (kind === "secret") assert.deepEqual(await names({ names: ["B"] }), ["b"]);
    assert.equal((await call("GET", `/${kind}s/A`)).json.ID, id, "in any case");
    const update = `/${kind}s/a/update?version=${shown.Version.Index}`;
    assert.equal((await call("POST", update, { Name: "a", Labels: { z: "w" } })).status, 200);
    assert.deepEqual((await call("GET", `/${kind}s/${id}`)).json.Spec, {
      Name: "a",
      Labels: { z: "w" },
      ...Data,
    });
    const removed = await call("DELETE", `/${kind}s/a`);
    assert.deepEqual([removed.status, removed.text], [204, ""]);
    assert.deepEqual(await names({}), ["b"]);
  });

  Deno.test(`API: what is wrong with a ${kind} is said in Docker's words`, async () => {
    const { call, create, refused } = await fixture();
    const max = kind === "secret" ? 512_000 : 1_024_000;
    const make = (body: object) => ["POST", `/${kind}s/create`, body] as const;
    const size = `${RPC}${kind} data must be larger than 0 and less than ${max} bytes`;
    const name =
      `${RPC}invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end character ` +
      "must be [a-zA-Z0-9]";
    await refused(400, `${RPC}name must be provided`, ...make({ Data: "YQ==" }));
    for (const Name of ["a b", "-a", "a/b", "a".repeat(65)]) {
      await refused(400, name, ...make({ Name, Data: "YQ==" }));
    }
    for (const Data of ["", undefined, base64(max), base64(max + 1)]) {
      await refused(400, size, ...make({ Name: "a", Data }));
    }
    for (const body of [{ Data: "!!" }, { Data: "YQ=" }, { Data: 5 }, { Data: base64(3 * max) }]) {
      const answer = await call(...make({ Name: "a", ...body }));
      assert.equal(answer.status, 400);
      assert.ok(answer.text.length < 300, "the data is not quoted");
    }
    if (kind === "secret") {
      const noName = `${RPC}secret driver must have a name`;
      await refused(400, noName, ...make({ Name: "a", Data: "YQ==", Driver: {} }));
    }
    for (const more of [{ Templating: { Name: "other" } }, { Driver: { Name: "x" } }]) {
      assert.equal((await call(...make({ Name: "a", Data: "YQ==", ...more }))).status, 400);
    }
    assert.equal((await call(...make({ Name: "big", Data: base64(max - 1) }))).status, 201);
    await create(kind, "a");
    const taken = (name: string) => `rpc error: code = AlreadyExists desc = ${kind} ${name} already exists`;
    await refused(409, taken("a"), ...make({ Name: "a", Data: "YQ==" }));
    await refused(409, taken("A"), ...make({ Name: "A", Data: "YQ==" }));
    const version = (await call("GET", `/${kind}s/a`)).json.Version.Index;
    const update = `/${kind}s/a/update?version=${version}`,
      labels = `${RPC}only updates to Labels are allowed`;
    await refused(400, labels, "POST", update, { Name: "b" });
    await refused(400, labels, "POST", update, { Name: "no name", Driver: {} });
    const drivers = { Driver: { Name: "x" }, Templating: { Name: "other" } };
    assert.equal((await call("POST", update, { Name: "a", ...drivers })).status, 200, "as in Docker");
    await refused(400, labels, "POST", update, { Name: "a", Data: "YQ==" });
    const stale = "rpc error: code = Unknown desc = update out of sequence";
    await refused(500, stale, "POST", `/${kind}s/a/update?version=1`, { Name: "a" });
    for (const [method, path] of [["GET", ""], ["POST", "/update?version=1"], ["DELETE", ""]] as const) {
      await refused(
        404,
        `${kind} nobody not found`,
        method,
        `/${kind}s/nobody${path}`,
        method === "POST" ? {} : undefined,
      );
    }
    assert.equal((await call("GET", `/${kind}s?filters={"bogus":["a"]}`)).status, 400);
  });

  Deno.test(`API: a service's references to ${kind}s are checked, and a ${kind} in use stays`, async () => {
    const { call, create, refused } = await fixture();
    const id = await create(kind, "a");
    const known = reference(kind, id, "a"), unknown = reference(kind, "nope", "a");
    const { File: _, ...noFile } = known;
    const ID = kind === "secret" ? "SecretID" : "ConfigID",
      Name = kind === "secret" ? "SecretName" : "ConfigName";
    const wrong: [string, unknown[]][] = [
      [`${kind} not found: a`, [unknown]],
      [`${kind}s not found: a, b`, [unknown, reference(kind, "nope", "b")]],
      [`${kind} not found: wrong`, [reference(kind, id, "wrong")]],
      [`malformed ${kind} reference`, [{ ...known, [ID]: "", [Name]: "" }]],
      [`malformed file ${kind} reference, invalid target file name provided`, [{ ...known, File: {} }]],
      [`${kind} references 'a' and 'a' have a conflicting target: 'a'`, [known, known]],
    ];
    for (const [message, references] of wrong) {
      await refused(400, RPC + message, "POST", "/services/create", container("bad", kind, references));
    }
    // Of a config, moby speaks before SwarmKit is asked.
    const untargeted = kind === "secret"
      ? `${RPC}malformed secret reference, no target provided`
      : "invalid Config: either File or Runtime should be set";
    await refused(400, untargeted, "POST", "/services/create", container("bad", kind, [noFile]));
    for (
      const File of [
        { Name: "../a" },
        { Name: "x", UID: "root" },
        { Name: "x", GID: "-1" },
        { Name: "x", UID: "4294967296" },
        { Name: "x", Mode: 2 ** 32 },
        { Name: 7 },
      ]
    ) {
      const answer = await call("POST", "/services/create", container("bad", kind, [{ ...known, File }]));
      assert.equal(answer.status, 400, JSON.stringify(File));
    }
    for (const more of [{ File: { Name: "/etc/a" } }, { Env: "1A" }, { Env: "COVEY_A" }, { Env: "A=b" }]) {
      const answer = await call("POST", "/services/create", process("bad", kind, [{ ...known, ...more }]));
      assert.equal(answer.status, 400, JSON.stringify(more));
    }
    const decimal = [{ ...known, File: { Name: "x", UID: "0", GID: "0", Mode: 600 } }];
    assert.equal((await call("POST", "/services/create", container("odd", kind, decimal))).status, 201);
    const odd = (await call("GET", "/services/odd")).json.Spec.TaskTemplate.ContainerSpec;
    assert.deepEqual(odd[field(kind)], decimal, "permissions are what counts; all of it is shown");
    await call("DELETE", "/services/odd");
    assert.equal((await call("POST", "/services/create", container("web", kind, [known]))).status, 201);
    const env = { ...known, Env: "A_VALUE" };
    assert.equal((await call("POST", "/services/create", process("proc", kind, [env]))).status, 201);
    const { Spec } = (await call("GET", "/services/web")).json;
    assert.deepEqual(Spec.TaskTemplate.ContainerSpec[field(kind)], [known]);
    const used = `${RPC}${kind} 'a' is in use by the following service`;
    await refused(400, `${used}s: web, proc`, "DELETE", `/${kind}s/a`);
    await call("DELETE", "/services/web");
    await refused(400, `${used}: proc`, "DELETE", `/${kind}s/a`);
    await call("DELETE", "/services/proc");
    assert.equal((await call("DELETE", `/${kind}s/a`)).status, 204);
  });
}

Deno.test("API: a secret as a container's variable is refused, because an engine keeps those on its disk", async () => {
  const { call, create } = await fixture();
  const secret = await create("secret", "s"), config = await create("config", "c");
  const refused = container("bad", "secret", [reference("secret", secret, "s", { Env: "A" })]);
  assert.match(
    (await call("POST", "/services/create", refused)).json.message,
    /Secrets\[0\]\.Env: an engine keeps/,
  );
  const taken = container("good", "config", [reference("config", config, "c", { Env: "A" })]);
  assert.equal((await call("POST", "/services/create", taken)).status, 201);
});

Deno.test("API: what the stock client writes back of a process keeps its secrets and their variables", async () => {
  const { call, create, store } = await fixture();
  const old = await create("secret", "old"), next = await create("secret", "new");
  const first = reference("secret", old, "old", { Env: "KEY" });
  await call(
    "POST",
    "/services/create",
    process("proc", "secret", [{ ...first, File: { ...first.File, Name: "key" } }]),
  );
  const { ID, Version, Spec } = (await call("GET", "/services/proc")).json;
  const { ContainerSpec } = Spec.TaskTemplate;
  assert.equal(ContainerSpec.Secrets[0].SecretID, old);
  const { Env: _, ...plain } = ContainerSpec.Secrets[0];
  const Secrets = [{ ...plain, SecretID: next, SecretName: "new" }];
  const { ProcessSpec: _process, ...TaskTemplate } = Spec.TaskTemplate;
  const body = { ...Spec, TaskTemplate: { ...TaskTemplate, ContainerSpec: { ...ContainerSpec, Secrets } } };
  const updated = await call("POST", `/services/${ID}/update?version=${Version.Index}`, body);
  assert.equal(updated.status, 200, updated.text);
  const [kept] = store().get("services", ID)!.Spec.TaskTemplate.ProcessSpec!.Secrets!;
  assert.deepEqual([kept!.SecretID, kept!.Env, kept!.File.Name], [next, "KEY", "key"]);
});

Deno.test("API: a rollback to a secret that was removed meanwhile is refused", async () => {
  const { call, create, refused } = await fixture();
  const id = await create("secret", "gone");
  await call("POST", "/services/create", container("web", "secret", [reference("secret", id, "gone")]));
  const version = async () => (await call("GET", "/services/web")).json.Version.Index;
  await call("POST", `/services/web/update?version=${await version()}`, container("web", "secret", []));
  assert.equal((await call("DELETE", "/secrets/gone")).status, 204);
  await refused(
    400,
    `${RPC}secret not found: gone`,
    "POST",
    `/services/web/update?rollback=previous&version=${await version()}`,
    container("web", "secret", []),
  );
});

Deno.test("API: events tell of secrets and configs by name, and of nothing they hold", async () => {
  const { api, clock, call, create } = await fixture();
  await create("secret", "s", { Data: btoa("very secret") });
  await create("config", "c");
  const version = (await call("GET", "/secrets/s")).json.Version.Index;
  await call("POST", `/secrets/s/update?version=${version}`, { Name: "s", Labels: { a: "b" } });
  await call("DELETE", "/secrets/s");
  const events = async (filters: object) => {
    const until = Math.ceil(clock.now() / 1000) + 1;
    const query = `since=0&until=${until}&filters=${encodeURIComponent(JSON.stringify(filters))}`;
    const response = await api.app.request(`/events?${query}`, {}, { caller: ADMINISTRATOR });
    await clock.advance(2000);
    const text = await response.text();
    assert.ok(!text.includes(btoa("very secret")) && !text.includes("very secret"));
    return text.trimEnd().split("\n").map((line) => JSON.parse(line))
      .map(({ Type, Action, Actor }) => `${Type} ${Action} ${Actor.Attributes.name}`);
  };
  const secrets = ["secret create s", "secret update s", "secret remove s"];
  assert.deepEqual(await events({ secret: ["s"] }), secrets);
  assert.deepEqual(await events({ type: ["secret", "config"] }), [
    secrets[0],
    "config create c",
    ...secrets.slice(1),
  ]);
});

Deno.test("API: a template that no task could be given is refused when it is made, without a word of a secret", async () => {
  const { api, call } = await fixture();
  const made = async (kind: Kind, text: string) => {
    const Data = new TextEncoder().encode(text).toBase64();
    return await call("POST", `/${kind}s/create`, { Name: "t", Data, Templating: { Name: "golang" } });
  };
  const bad = '{{.Foo}} {{secret "hidden"}}';
  assert.match((await made("config", bad)).json.message, /it is no template: can't evaluate field Foo/);
  const { message } = (await made("secret", bad)).json;
  assert.match(message, /it is no template: a placeholder cannot be filled in$/);
  assert.match((await made("config", "{{range}}")).json.message, /function "range" not defined/);
  const good = '{{secret "a"}}{{config "b"}}{{env "C"}}{{.Var.d}}{{.Service.Labels.e}}{{.Node.Hostname}}';
  const { ID } = (await made("config", good)).json;
  // It would carry a secret into what an engine keeps on its disk.
  const references = [reference("config", ID, "t", { Env: "T" })];
  const asVariable = await call("POST", "/services/create", container("a", "config", references));
  assert.match(asVariable.json.message, /config t holds secrets/);
  const missing = await call("POST", "/services/create", process("a", "config", references));
  assert.match(missing.json.message, /variable d not found: neither the fleet nor a site nor a node has it/);
  const set = { method: "POST", body: JSON.stringify({ Set: { d: "1" } }) };
  const answer = await api.app.request("/variables/update", set, { caller: ADMINISTRATOR });
  assert.deepEqual([answer.status, await answer.json()], [200, { Updated: [], Paused: [] }]);
  const shown = await (await api.app.request("/variables", {}, { caller: ADMINISTRATOR })).json();
  assert.deepEqual(shown[0].Spec, { Name: "fleet", Values: { d: "1" } });
  assert.equal((await call("POST", "/services/create", process("a", "config", references))).status, 201);
  await api.close();
});

for (const kind of KINDS) {
  Deno.test(`${kind}s: the bytes may be a list of numbers, as Go reads it; what is no byte is refused`, async () => {
    const { call, refused, store } = await fixture();
    const create = (Data: unknown) =>
      call("POST", `/${kind}s/create`, { Name: `a${JSON.stringify(Data).length}`, Data });
    const { status, json } = await create([97, null, 255]);
    assert.equal(status, 201);
    const [stored] = store().all(`${kind}s`).filter(({ ID }) => ID === json.ID);
    assert.equal(stored!.Spec.Data, new Uint8Array([97, 0, 255]).toBase64());
    await refused(400, `${RPC}Data: cannot unmarshal array into string`, "POST", `/${kind}s/create`, {
      Name: "b",
      Data: [256],
    });
    assert.match((await create([])).json.message, /data must be larger than 0/);
    assert.equal((await create(Array(2_000_000).fill(1))).status, 400);
  });
}
