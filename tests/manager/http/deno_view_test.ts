import assert from "node:assert/strict";
import { FakeClock } from "../../support/fake_clock.ts";
import { testAPI } from "./fake_node.ts";

const DenoSpec = {
  Source: "setInterval(() => {}, 1000);",
  Args: ["a"],
  Env: ["A=b"],
  Permissions: { Net: ["192.0.2.1:80"], Sys: true },
};

/** Reads the deno service as a stock client does, without the fields it does not know, edits it and writes it back. */
async function edit(change: (container: Record<string, unknown>, spec: Record<string, unknown>) => void) {
  const { call, store } = await testAPI(new FakeClock());
  await call("POST", "/services/create", { Name: "beat", TaskTemplate: { Runtime: "deno", DenoSpec } });
  const { Version, Spec } = (await call("GET", "/services/beat")).json;
  delete Spec.TaskTemplate.DenoSpec;
  change(Spec.TaskTemplate.ContainerSpec, Spec);
  const answer = await call("POST", `/services/beat/update?version=${Version.Index}`, Spec);
  return { answer, stored: store().all("services")[0]!.Spec.TaskTemplate };
}

Deno.test("Deno services: are shown as a container, beside what they are", async () => {
  const { call } = await testAPI(new FakeClock());
  const shown = async (name: string, spec: Record<string, unknown>) => {
    await call("POST", "/services/create", { Name: name, TaskTemplate: { Runtime: "deno", DenoSpec: spec } });
    return (await call("GET", `/services/${name}`)).json.Spec.TaskTemplate;
  };
  assert.deepEqual(await shown("beat", DenoSpec), {
    ContainerSpec: { Image: "deno:script", Args: ["a"], Env: ["A=b"], Isolation: "default" },
    DenoSpec,
    ForceUpdate: 0,
    Runtime: "deno",
  });
  assert.equal((await shown("file", { Module: "/srv/app.ts" })).ContainerSpec.Image, "deno:app.ts");
  assert.equal((await shown("wasm", { Wasm: "AGFzbQ==" })).ContainerSpec.Image, "deno:wasm");
});

Deno.test("Deno services: a stock client's write-back changes what it knows and loses nothing", async () => {
  const same = await edit((_container, spec) => spec.Labels = { a: "b" });
  assert.deepEqual([same.answer.status, same.stored.DenoSpec], [200, DenoSpec]);
  const changed = await edit((container) => Object.assign(container, { Args: ["5"], Dir: "/tmp" }));
  assert.deepEqual(changed.stored.DenoSpec, { ...DenoSpec, Args: ["5"], Dir: "/tmp" });
});

Deno.test("Deno services: what only a container can have is refused by name", async () => {
  const { answer } = await edit((container) => {
    container.Image = "busybox";
    container.Command = ["/bin/sh"];
    container.Hostname = "h";
  });
  assert.equal(answer.status, 400);
  for (const field of ["Command", "Hostname"]) {
    assert.match(
      answer.json.message,
      new RegExp(`ContainerSpec.${field}: cannot be used with runtime "deno"`),
    );
  }
  assert.match(answer.json.message, /ContainerSpec.Image: cannot be changed with runtime "deno"/);
});
