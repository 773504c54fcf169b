import assert from "node:assert/strict";
import { CoveyError } from "../../api/errors.ts";
import { expandTask, hasTemplates, variablesOf } from "../../api/task_template.ts";
import { parseServiceSpec } from "../../api/validate/mod.ts";
import { task } from "../manager/store/objects.ts";

const node = { Hostname: "pi-3", Platform: { OS: "linux", Architecture: "arm64" } };

function specOf(ContainerSpec: Record<string, unknown>) {
  return parseServiceSpec({
    Name: "web",
    TaskTemplate: { ContainerSpec: { Image: "busybox", ...ContainerSpec } },
  });
}

Deno.test("Placeholders: count in Env, Hostname, mounts and their volumes' labels, and nowhere else", () => {
  const literal = { Labels: { l: "{{.Task.ID}}" }, Args: ["{{.Task.ID}}"], Dir: "/{{x" };
  const { TaskTemplate } = specOf({
    ...literal,
    Env: ["A={{.Node.Hostname}}", "B=b"],
    Hostname: "{{.Service.Name}}-{{.Task.Slot}}",
    Mounts: [{
      Type: "volume",
      Source: "data-{{.Task.Slot}}",
      Target: "/{{.Service.Name}}",
      VolumeOptions: {
        Labels: { of: "{{.Task.Name}}" },
        DriverConfig: { Name: "x", Options: { o: "{{.Node.Platform.OS}}" } },
      },
    }],
  });
  const base = task("t1", "s1", "n1");
  const asked = { ...base, Slot: 2, ServiceAnnotations: { Name: "web", Labels: {} }, Spec: TaskTemplate };
  assert.ok(hasTemplates(asked));
  const { ContainerSpec } = expandTask(asked, node).Spec;
  assert.deepEqual(ContainerSpec, {
    Image: "busybox",
    ...literal,
    Env: ["A=pi-3", "B=b"],
    Hostname: "web-2",
    Mounts: [{
      Type: "volume",
      Source: "data-2",
      Target: "/web",
      VolumeOptions: { Labels: { of: "web.2.t1" }, DriverConfig: { Name: "x", Options: { o: "linux" } } },
    }],
  });
  assert.ok(!hasTemplates({ Spec: specOf(literal).TaskTemplate }));
});

Deno.test("Placeholders: a process and a script have them in their environment", () => {
  const ProcessSpec = { Command: "/bin/x", Args: ["{{.Node.ID}}"], Env: ["A={{.Node.ID}}"] };
  const { TaskTemplate } = parseServiceSpec({ Name: "p", TaskTemplate: { Runtime: "process", ProcessSpec } });
  const expanded = expandTask({ ...task("t1", "s1", "n1"), Spec: TaskTemplate }, node).Spec.ProcessSpec;
  assert.deepEqual(expanded, { ...ProcessSpec, Env: ["A=n1"] });
  const DenoSpec = { Source: "{{.Node.ID}}", Env: ["A={{.Node.ID}}"] };
  const script = parseServiceSpec({ Name: "d", TaskTemplate: { Runtime: "deno", DenoSpec } }).TaskTemplate;
  const filled = expandTask({ ...task("t1", "s1", "n1"), Spec: script }, node).Spec.DenoSpec;
  assert.deepEqual(filled, { ...DenoSpec, Env: ["A=n1"] });
});

Deno.test("Placeholders: an argument is a template where it names a variable, whatever runs it", () => {
  const Args = ["{{.Names}} {{x", "--port={{.Var.port}}", "{{.Var.port}}@{{.Node.Hostname}}"];
  const wanted = ["{{.Names}} {{x", "--port=80", "80@pi-3"];
  const specs = [
    { ContainerSpec: { Image: "x", Args } },
    { Runtime: "process", ProcessSpec: { Command: "x", Args } },
    { Runtime: "deno", DenoSpec: { Source: "x", Args } },
  ];
  for (const TaskTemplate of specs) {
    const parsed = parseServiceSpec({ Name: "a", TaskTemplate }).TaskTemplate;
    assert.deepEqual(variablesOf(parsed), ["port"]);
    const { ContainerSpec, ProcessSpec, DenoSpec } = expandTask(
      { ...task("t1", "s1", "n1"), Spec: parsed, Variables: { port: "80" } },
      node,
    ).Spec;
    assert.deepEqual((ContainerSpec ?? ProcessSpec ?? DenoSpec)!.Args, wanted);
  }
});

Deno.test("Placeholders: a wrong one is refused with the spec, by its field", () => {
  const wrong = {
    Env: ["A=b", "B={{.Foo}}"],
    Hostname: "{{",
    Mounts: [{ Type: "volume", Target: "/{{.Task.Name.X}}" }],
  };
  assert.throws(() => specOf(wrong), (thrown) => {
    assert.ok(thrown instanceof CoveyError);
    assert.deepEqual(Object.fromEntries(thrown.problems.map(({ field, message }) => [field, message])), {
      "TaskTemplate.ContainerSpec.Env[1]":
        'expanding env failed: expanding env "B={{.Foo}}": can\'t evaluate field Foo in .Foo',
      "TaskTemplate.ContainerSpec.Hostname":
        'expanding hostname failed: expanding hostname "{{": unclosed action',
      "TaskTemplate.ContainerSpec.Mounts[0].Target":
        'expanding mounts failed: expanding mount target "/{{.Task.Name.X}}": can\'t evaluate field X in .Task.Name.X',
    });
    return true;
  });
});
