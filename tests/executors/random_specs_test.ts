/** Ten thousand specs that Docker's schema allows: what comes back is what was sent, and none crashes an executor. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { CoveyError } from "../../api/errors.ts";
import type { Service, ServiceSpec } from "../../api/service.ts";
import { parseServiceSpec } from "../../api/validate/mod.ts";
import { expandTask } from "../../api/task_template.ts";
import { checkContainerTask, createBody } from "../../executors/docker/container_config.ts";
import { shimRequest } from "../../executors/process/process_spec.ts";
import { newTask } from "../../manager/task/task.ts";
import { serviceView } from "../../manager/http/views/service_view.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { lost } from "../support/lost_fields.ts";
import { valuesOf } from "../differential/schema_values.ts";
import { seededRandom } from "../manager/orchestrator/harness.ts";

const RUNS = 10_000;
const NODE = { Hostname: "pi", Platform: { OS: "linux", Architecture: "arm64" } };

function serviceOf(Spec: ServiceSpec): Service {
  const meta = { ID: "s", Version: { Index: 0 }, CreatedAt: "", UpdatedAt: "" };
  return { ...meta, Spec, SpecVersion: { Index: 0 } };
}

/** As a client reads it. */
const shownOf = (Spec: ServiceSpec) => JSON.parse(JSON.stringify(serviceView(serviceOf(Spec)).Spec));

/** The stored spec; undefined for one that is refused, which must be in words. */
function accepted(sent: unknown): ServiceSpec | undefined {
  try {
    return parseServiceSpec(sent, { newName: () => "named" });
  } catch (thrown) {
    assert.ok(thrown instanceof CoveyError && thrown.code === "invalid_argument", String(thrown));
    assert.ok(thrown.problems.length > 0);
    return undefined;
  }
}

function taskOf(spec: ServiceSpec) {
  const task = newTask(serviceOf(spec), { nodeID: "n" }, undefined, new FakeClock(), seededRandom());
  try {
    return expandTask(task, NODE);
  } catch (thrown) {
    // A label that this service has not.
    assert.ok(thrown instanceof CoveyError);
    return undefined;
  }
}

Deno.test("Random specs: what comes back is what was sent, as Docker shows it, and no container executor breaks over it", () => {
  let taken = 0;
  fc.assert(
    fc.property(valuesOf("ServiceSpec"), (sent) => {
      const spec = accepted(sent);
      if (spec === undefined) return;
      taken++;
      const shown = shownOf(spec);
      assert.deepEqual([...lost(sent, shown)], []);
      // What a client reads and writes back changes nothing.
      assert.deepEqual(shownOf(parseServiceSpec(shown, { current: spec })), shown);
      const task = taskOf(spec);
      if (task?.Spec.Runtime !== "container") return;
      try {
        checkContainerTask(task);
        JSON.stringify(createBody(task, "n"));
      } catch (thrown) {
        assert.ok(thrown instanceof CoveyError, String(thrown));
      }
    }),
    { numRuns: RUNS, seed: 13 },
  );
  assert.ok(taken > RUNS / 10, `only ${taken} were taken`);
});

Deno.test("Random specs: of programs what is taken is asked of the shim as it is, and what is refused has a name", () => {
  const text = fc.oneof(
    fc.string(),
    fc.constantFrom("", "/bin/sh", "a b", "A=b", "{{.Node.Hostname}}", "{{.Var.x}}", "{{", "\0"),
  );
  const program = fc.record({
    Command: text,
    Args: fc.array(text, { maxLength: 4 }),
    Env: fc.array(fc.oneof(text, text.map((value) => `A=${value}`)), { maxLength: 4 }),
    Dir: fc.oneof(text, fc.constantFrom("/", "/srv")),
    User: fc.oneof(text, fc.constantFrom("1:2", "nobody")),
    StopSignal: fc.oneof(text, fc.constantFrom("TERM", "15", "SIGINT")),
    StopGracePeriod: fc.oneof(fc.integer(), fc.constant(1e9)),
  }, { requiredKeys: ["Command"] });
  let taken = 0;
  fc.assert(
    fc.property(program, (ProcessSpec) => {
      const spec = accepted({ Name: "p", TaskTemplate: { Runtime: "process", ProcessSpec } });
      if (spec === undefined) return;
      taken++;
      assert.deepEqual([...lost(ProcessSpec, shownOf(spec).TaskTemplate.ProcessSpec)], []);
      const task = newTask(serviceOf(spec), { nodeID: "n" }, undefined, new FakeClock(), seededRandom());
      try {
        const { command } = shimRequest(expandTask({ ...task, Variables: { x: "1" } }, NODE), "/bin");
        assert.equal(command[0], ProcessSpec.Command);
      } catch (thrown) {
        // What a variable is called in the end is known on the device only.
        const isLate = ProcessSpec.Env?.some((entry) => entry.split("=", 1)[0]!.includes("{{"));
        if (!isLate || !(thrown instanceof CoveyError)) throw thrown;
      }
    }),
    { numRuns: RUNS, seed: 13 },
  );
  assert.ok(taken > RUNS / 100, `only ${taken} were taken`);
});
