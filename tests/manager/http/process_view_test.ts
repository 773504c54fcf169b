import assert from "node:assert/strict";
import { FakeClock } from "../../support/fake_clock.ts";
import { processBody, testAPI } from "./fake_node.ts";

/** Reads the process service as a stock client does, without the fields it does not know, edits it and writes it back. */
async function edit(change: (container: Record<string, unknown>, spec: Record<string, unknown>) => void) {
  const { call, store } = await testAPI(new FakeClock());
  await call("POST", "/services/create", processBody("proc"));
  const { Version, Spec } = (await call("GET", "/services/proc")).json;
  delete Spec.TaskTemplate.ProcessSpec;
  change(Spec.TaskTemplate.ContainerSpec, Spec);
  const answer = await call("POST", `/services/proc/update?version=${Version.Index}`, Spec);
  return { answer, stored: store().all("services")[0]!.Spec };
}

Deno.test("Process services: are shown as a container that reads well", async () => {
  const { call } = await testAPI(new FakeClock());
  await call("POST", "/services/create", processBody("proc"));
  const { TaskTemplate } = (await call("GET", "/services/proc")).json.Spec;
  assert.deepEqual(TaskTemplate, {
    ContainerSpec: {
      Image: "process:sleep",
      Command: ["/bin/sleep"],
      Args: ["1000"],
      Env: ["A=b"],
      Isolation: "default",
    },
    ProcessSpec: { Command: "/bin/sleep", Args: ["1000"], Env: ["A=b"] },
    ForceUpdate: 0,
    Runtime: "process",
  });
});

Deno.test("Process services: a stock client's write-back loses nothing", async () => {
  const { answer, stored } = await edit((_container, spec) => spec.Labels = { a: "b" });
  assert.equal(answer.status, 200);
  assert.deepEqual(stored.Labels, { a: "b" });
  assert.deepEqual(stored.TaskTemplate, {
    ProcessSpec: { Command: "/bin/sleep", Args: ["1000"], Env: ["A=b"] },
    ForceUpdate: 0,
    Runtime: "process",
  });
});

Deno.test("Process services: changes to the shown container become changes to the process", async () => {
  const env = await edit((container) => container.Env = ["A=b", "C=d"]);
  assert.deepEqual(env.stored.TaskTemplate.ProcessSpec?.Env, ["A=b", "C=d"]);
  const args = await edit((container) =>
    Object.assign(container, { Args: ["5"], Dir: "/tmp", User: "nobody" })
  );
  assert.deepEqual(args.stored.TaskTemplate.ProcessSpec, {
    Command: "/bin/sleep",
    Args: ["5"],
    Env: ["A=b"],
    Dir: "/tmp",
    User: "nobody",
  });
  const command = await edit((container) => container.Command = ["/bin/sh", "-c"]);
  assert.equal(command.stored.TaskTemplate.ProcessSpec?.Command, "/bin/sh");
  assert.deepEqual(command.stored.TaskTemplate.ProcessSpec?.Args, ["-c", "1000"]);
  const image = await edit((container) => container.Image = "process:true");
  assert.equal(image.stored.TaskTemplate.ProcessSpec?.Command, "true");
});

Deno.test("Process services: what only a container can have is refused by name", async () => {
  const { answer } = await edit((container) => {
    container.Mounts = [{ Type: "tmpfs", Target: "/x" }];
    container.Hostname = "h";
  });
  assert.equal(answer.status, 400);
  assert.match(answer.json.message, /ContainerSpec\.Hostname: cannot be used with runtime "process"/);
  assert.match(answer.json.message, /ContainerSpec\.Mounts: cannot be used/);
});

Deno.test("Other runtimes: keep their payload through a stock client", async () => {
  const { call, store } = await testAPI(new FakeClock());
  const body = { Name: "w", TaskTemplate: { Runtime: "wasm", GenericSpec: { Payload: { module: "x" } } } };
  await call("POST", "/services/create", body);
  const { Version, Spec } = (await call("GET", "/services/w")).json;
  assert.equal(Spec.TaskTemplate.ContainerSpec.Image, "wasm:latest");
  delete Spec.TaskTemplate.GenericSpec;
  await call("POST", `/services/w/update?version=${Version.Index}`, Spec);
  assert.deepEqual(store().all("services")[0]!.Spec.TaskTemplate.GenericSpec, { Payload: { module: "x" } });
});
