import assert from "node:assert/strict";
import { isTaskDirty } from "../../../manager/task/task.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { request, serviceBody, testAPI, testTask } from "./fake_node.ts";

/** Text whose base64 has all that differs between the kinds: `+` or `-`, `/` or `_`, and padding. */
const CREDENTIALS = { username: "u>>>???", password: "päß~~", serveraddress: "127.0.0.1:5000" };

const base64 = (value: unknown, alphabet: "base64" | "base64url" = "base64url") =>
  new TextEncoder().encode(JSON.stringify(value)).toBase64({ alphabet });

async function api() {
  const test = await testAPI(new FakeClock());
  const post = async (path: string, body: unknown, auth?: string) => {
    const headers = auth === undefined ? {} : { "X-Registry-Auth": auth };
    const response = await request(test.api, path, { method: "POST", headers, body: JSON.stringify(body) });
    return { status: response.status, text: await response.text() };
  };
  const service = () => test.store().all("services")[0]!;
  const stored = () => service().Spec.TaskTemplate.ContainerSpec!.PullOptions?.RegistryAuth;
  const update = (query: string, auth?: string) =>
    post(`/services/web/update?version=${service().Version.Index}${query}`, serviceBody("web"), auth);
  return { ...test, post, service, stored, update };
}

Deno.test("Registry credentials: are kept from a header in any kind of base64, and shown nowhere", async () => {
  const wanted = base64(CREDENTIALS);
  assert.match(wanted, /[-_].*=$/);
  const kinds = [wanted, wanted.replace(/=+$/, ""), base64(CREDENTIALS, "base64")];
  for (const header of [...kinds, kinds[2]!.replace(/=+$/, "")]) {
    const { post, stored, call, service, store } = await api();
    assert.equal((await post("/services/create", serviceBody("web"), header)).status, 201);
    assert.equal(stored(), wanted);
    await call("POST", `/services/web/update?version=${service().Version.Index}`, serviceBody("web"));
    await store().update((tx) => tx.create("tasks", testTask(service(), "t1")));
    for (
      const path of ["/services", "/services/web", "/services/web?insertDefaults=1", "/tasks", "/tasks/t1"]
    ) {
      const shown = JSON.stringify((await call("GET", path)).json);
      assert.doesNotMatch(shown, /PullOptions|RegistryAuth/, path);
      assert.ok(!shown.includes(wanted.slice(0, 10)), path);
    }
  }
});

Deno.test("Registry credentials: none are none, and what cannot be read is refused", async () => {
  const { post, stored, call } = await api();
  const spec = serviceBody("s", { Labels: { a: "x".repeat(100_000) } });
  const silent = [
    "",
    "e30=",
    "bnVsbA",
    base64({ username: "", password: "" }),
    base64({ registryId: 5 }),
    base64(spec),
  ];
  for (const [i, header] of silent.entries()) {
    assert.equal((await post("/services/create", serviceBody(`s${i}`), header)).status, 201);
    assert.equal(stored(), undefined);
  }
  for (const header of ["%%%", "aGFsbG8=", "W10=", "NQ==", base64({ password: "x".repeat(20_000) })]) {
    const { status, text } = await post("/services/create", serviceBody("web"), header);
    assert.equal(status, 400);
    assert.match(text, /Cannot read the X-Registry-Auth header/);
  }
  const own = { Image: "busybox", PullOptions: { RegistryAuth: "x" } };
  await call("POST", "/services/create", serviceBody("own", { TaskTemplate: { ContainerSpec: own } }));
  assert.equal(stored(), undefined, "nobody slips any in by the spec");
});

Deno.test("Registry credentials: an update without any goes on with the spec's, or with the previous one's", async () => {
  const { post, stored, update } = await api();
  const [first, second] = [base64({ identitytoken: "first" }), base64({ identitytoken: "second" })];
  await post("/services/create", serviceBody("web"), first);
  const none = await update("&registryAuthFrom=previous-spec");
  assert.deepEqual([none.status, /service does not have a previous spec/.test(none.text)], [500, true]);
  await update("");
  assert.equal(stored(), first);
  await update("&registryAuthFrom=previous-spec", second);
  assert.equal(stored(), second);
  await update("&registryAuthFrom=spec");
  assert.equal(stored(), second);
  await update("", first);
  await update("&registryAuthFrom=previous-spec");
  assert.equal(stored(), second);
});

Deno.test("Registry credentials: other ones do not replace a task whose image is there", async () => {
  const { post, update, service, store } = await api();
  const [first, second] = [base64({ identitytoken: "first" }), base64({ identitytoken: "second" })];
  await post("/services/create", serviceBody("web"), first);
  await store().update((tx) => {
    tx.create("tasks", testTask(service(), "running"));
    const status = { Timestamp: "", State: "preparing", Message: "" } as const;
    tx.create("tasks", testTask(service(), "pulling", { Status: status }));
  });
  await update("", second);
  const dirty = store().all("tasks").filter((task) => isTaskDirty(store(), service(), task));
  assert.deepEqual(dirty.map(({ ID }) => ID), ["pulling"]);
});
