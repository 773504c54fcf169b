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
import { valuesOf } from "../differential/schema_values.ts";
import { seededRandom } from "../manager/orchestrator/harness.ts";

const RUNS = 10_000;
const NODE = { Hostname: "pi", Platform: { OS: "linux", Architecture: "arm64" } };

type Json = Record<string, unknown>;

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);
/** What Go leaves out. */
const isEmpty = (value: unknown): boolean =>
  value === null || value === undefined || value === "" || value === 0 || value === false ||
  (Array.isArray(value) && value.length === 0) || (isObject(value) && Object.keys(value).length === 0);

/** Where Docker itself shows another value than was sent, or keeps the field to itself. */
const NORMALIZED = [
  // Words in any case, shown in the case of the description.
  /\.(?:Propagation|Type|Isolation)$/,
  // Of every kind of network the one ID that all clusters have.
  /Networks(?:\[\d+\])?(?:\.Target)?$/,
  // Never shown, and not of a mount on Linux.
  /\.(?:PullOptions|Consistency)/,
];

/** As Go's decoder takes keys: the description says HealthCheck, and Docker shows Healthcheck. */
function memberOf(object: Json, key: string): unknown {
  const name = Object.keys(object).find((each) => each.toLowerCase() === key.toLowerCase());
  return name === undefined ? undefined : object[name];
}

/** Paths at which `shown` has not what was `sent`. */
function* lost(sent: unknown, shown: unknown, path = ""): Generator<string> {
  if (isEmpty(sent) || NORMALIZED.some((pattern) => pattern.test(path))) return;
  if (isObject(sent)) {
    for (const [key, value] of Object.entries(sent)) {
      yield* lost(
        value,
        isObject(shown) ? memberOf(shown, key) : undefined,
        path === "" ? key : `${path}.${key}`,
      );
    }
  } else if (Array.isArray(sent)) {
    // Of some lists Docker keeps what is empty, of others not.
    const isWhole = Array.isArray(shown) && shown.length === sent.length;
    const kept = isWhole ? sent : sent.filter((each) => typeof each === "string" || !isEmpty(each));
    for (const [index, value] of kept.entries()) {
      yield* lost(value, (shown as unknown[] | undefined)?.[index], `${path}[${index}]`);
    }
  } else if (sent !== shown) yield `${path}: ${JSON.stringify(sent)} is shown as ${JSON.stringify(shown)}`;
}

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
