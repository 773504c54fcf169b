import assert from "node:assert/strict";
import { CoveyError } from "../../../api/errors.ts";
import { expandTask, variablesOf } from "../../../api/task_template.ts";
import { parseServiceSpec } from "../../../api/validate/mod.ts";
import { shownContainer } from "../../../api/validate/shown_container.ts";
import { NODE_ID, taskWith } from "../../conformance/tasks.ts";

const SHA256 = "a".repeat(64), URL = "https://files.example.com/app";

function parsed(Artifacts: object[]) {
  const ProcessSpec = { Command: "app", Artifacts };
  return parseServiceSpec({ Name: "p", TaskTemplate: { Runtime: "process", ProcessSpec } }).TaskTemplate;
}

Deno.test("Artifacts: what no device could fetch, verify or name is refused with its field", () => {
  const cases: [object, string][] = [
    [{ SHA256 }, "URL"],
    [{ SHA256, URL: "ftp://files.example.com/app" }, "URL"],
    [{ SHA256, URL: "/app" }, "URL"],
    [{ SHA256, URL: "https://me:secret@files.example.com/app" }, "URL"],
    [{ URL }, "SHA256"],
    [{ URL, SHA256: SHA256.toUpperCase() }, "SHA256"],
    [{ URL, SHA256: "a".repeat(40) }, "SHA256"],
    [{ URL: "https://files.example.com/", SHA256 }, "Name"],
    [{ URL: "https://files.example.com", SHA256 }, "Name"],
    [{ URL, SHA256, Name: "../app" }, "Name"],
    [{ URL, SHA256, Name: ".app" }, "Name"],
    [{ URL: "https://files.example.com/{{.Var.version}}", SHA256 }, "Name"],
    [{ URL, SHA256, Mode: 0o4755 }, "Mode"],
  ];
  for (const [artifact, field] of cases) {
    assert.throws(() => parsed([artifact]), (error: unknown) => {
      const fields = (error as CoveyError).problems.map((problem) => problem.field);
      assert.deepEqual(fields, [`TaskTemplate.ProcessSpec.Artifacts[0].${field}`], JSON.stringify(artifact));
      return true;
    });
  }
  const arm = { URL, SHA256, Platform: { Architecture: "arm64" } };
  assert.throws(() => parsed([arm, { ...arm, URL: `${URL}/app` }]), /Artifacts\[1\].Name: is there twice/);
  assert.throws(() => parsed(Array(51).fill({ URL, SHA256 })), /Artifacts/);
  assert.deepEqual(
    parsed([arm, { ...arm, Platform: { Architecture: "amd64" } }]).ProcessSpec?.Artifacts?.length,
    2,
  );
});

Deno.test("Artifacts: a device's variables stand in their addresses, and stock clients keep what they cannot see", () => {
  const spec = parsed([{
    Name: "app",
    URL: "https://{{.Var.mirror}}/app-{{.Node.Platform.Architecture}}",
    SHA256,
  }]);
  assert.deepEqual(variablesOf(spec), ["mirror"]);
  const node = { Hostname: "pi", Platform: { OS: "linux", Architecture: "aarch64" } };
  const task = { ...taskWith(spec), NodeID: NODE_ID, Variables: { mirror: "10.0.0.1:8080" } };
  assert.equal(
    expandTask(task, node).Spec.ProcessSpec?.Artifacts?.[0]?.URL,
    "https://10.0.0.1:8080/app-aarch64",
  );
  const shown = shownContainer(spec);
  assert.ok(!("Artifacts" in shown));
  const back = parseServiceSpec({ Name: "p", TaskTemplate: { ContainerSpec: shown } }, {
    current: parseServiceSpec({ Name: "p", TaskTemplate: spec }),
  });
  assert.deepEqual(back.TaskTemplate.ProcessSpec, spec.ProcessSpec);
});
