import assert from "node:assert/strict";
import { FakeClock } from "../../support/fake_clock.ts";
import { processBody, request, serviceBody, testAPI } from "./fake_node.ts";

Deno.test("Plan: answers with both specs and writes nothing; a new name is a new service", async () => {
  const { call, store } = await testAPI(new FakeClock());
  const { json: { ID } } = await call("POST", "/services/create", processBody("web"));
  const { json: before } = await call("GET", "/services/web");
  const index = store().index;
  const spec = { ...before.Spec, Labels: { a: "b" } };
  const { status, json } = await call("POST", "/v1.51/services/plan", spec);
  assert.equal(status, 200);
  assert.deepEqual([json.Service, json.Before, json.After.Labels], [
    { ID, Name: "web" },
    before.Spec,
    { a: "b" },
  ]);
  const other = await call("POST", "/services/plan", { ...spec, Name: "other" });
  assert.deepEqual([other.json.Service, other.json.Before], [{ Name: "other" }, undefined]);
  assert.equal(store().index, index);
});

Deno.test("Plan: shows no credentials, which an update keeps", async () => {
  const { api, call } = await testAPI(new FakeClock());
  const headers = { "X-Registry-Auth": btoa(JSON.stringify({ username: "u", password: "p" })) };
  const body = JSON.stringify(serviceBody("web"));
  assert.equal((await request(api, "/services/create", { method: "POST", headers, body })).status, 201);
  const { json: { Spec } } = await call("GET", "/services/web");
  const { json } = await call("POST", "/services/plan", Spec);
  assert.deepEqual(json.Before, json.After);
  assert.ok(!JSON.stringify(json).includes("PullOptions"));
});

Deno.test("Plan: what an update would be refused for is refused in the same words", async () => {
  const { call } = await testAPI(new FakeClock());
  await call("POST", "/services/create", processBody("web"));
  const { json: { Spec, Version } } = await call("GET", "/services/web");
  for (
    const wrong of [{ ...Spec, Mode: { Replicated: { Replicas: 1 } } }, { ...Spec, TaskTemplate: {} }, {
      Name: "a b",
    }]
  ) {
    const { status, json } = await call("POST", "/services/plan", wrong);
    assert.ok(status >= 400, JSON.stringify(wrong));
    if (!("Mode" in wrong)) continue;
    assert.deepEqual(
      { status, json },
      await call("POST", `/services/web/update?version=${Version.Index}`, wrong),
    );
  }
});
