import assert from "node:assert/strict";
import {
  type Bundle,
  deviceRows,
  parseBundle,
  type UpgradeOptions,
  upgradeSpec,
  waitingSpec,
  wantedVersion,
} from "../../cli/agent_upgrade.ts";
import type { NodeView, TaskView } from "../../cli/api_types.ts";
import { parseServiceSpec } from "../../api/validate/mod.ts";

const OPTIONS: UpgradeOptions = { deadline: 300, parallelism: 5, stages: "10%, 100%", constraints: [] };
const SUM = "a".repeat(64);

function bundle(version: string, architecture: string): Bundle {
  return { version, architecture, sha256: SUM, url: `http://files/covey-${version}-${architecture}.tar.gz` };
}

Deno.test("Agent upgrade: a bundle says its version and architecture by its name, and its sum behind a #", () => {
  const url = "https://files.example/covey-0.2.0-1a2b3c4d-aarch64.tar.gz";
  const read = { url, version: "0.2.0-1a2b3c4d", architecture: "arm64" };
  assert.deepEqual(parseBundle(url), { ...read, sha256: undefined });
  assert.deepEqual(parseBundle(`${url}#sha256=${SUM}`), { ...read, sha256: SUM });
  for (const wrong of ["covey.tar.gz", "file:///covey-1-x86_64.tar.gz", `${url}#sha256=abc`]) {
    assert.throws(() => parseBundle(wrong), /Cannot read --bundle: want .*, current value is/);
  }
});

Deno.test("Agent upgrade: a device is told the version, how long it has, and which attempt it is", () => {
  const { TaskTemplate } = upgradeSpec([bundle("2", "amd64"), bundle("2", "arm64")], OPTIONS, "now");
  assert.deepEqual(TaskTemplate.ProcessSpec?.Args, ["2", "300", "now", "bundle.tar.gz"]);
  assert.equal(wantedVersion(TaskTemplate), "2");
  assert.equal(wantedVersion(waitingSpec(OPTIONS).TaskTemplate), "");
});

Deno.test("Agent upgrade: what is asked for is a service that managers take, with its stages, sums and platforms", () => {
  const options = {
    ...OPTIONS,
    budgets: "node.labels.site=1",
    promotion: "manual",
    constraints: ["node.labels.a==b"],
  };
  const spec = upgradeSpec([bundle("2", "arm64")], options, "now");
  const parsed = parseServiceSpec(spec);
  assert.deepEqual(parsed.TaskTemplate.ProcessSpec?.Artifacts?.[0]?.Platform, { Architecture: "arm64" });
  assert.deepEqual(parsed.TaskTemplate.Placement?.Constraints, [
    "node.role==worker",
    "node.fact.agent exists",
    "node.labels.a==b",
  ]);
  assert.equal(parsed.Labels["covey.rollout.promotion"], "manual");
  // A device has its deadline twice, to come and to go back.
  assert.equal(parsed.UpdateConfig?.Monitor, 660e9);
});

Deno.test("Agent upgrade: bundles of two versions are refused", () => {
  const bundles = [bundle("2", "amd64"), bundle("3", "arm64")];
  assert.throws(() => upgradeSpec(bundles, OPTIONS, "now"), /of one version, found 2 and 3/);
});

/** One task after another of device `pi`, each of an attempt, with its state and the reason of its end. */
function piTasks(
  ...tasks: [attempt: string, state: TaskView["Status"]["State"], error?: string][]
): TaskView[] {
  return tasks.map(([attempt, State, Err], n) =>
    ({
      NodeID: "pi",
      CreatedAt: `2026-01-01T00:00:0${n}Z`,
      Spec: upgradeSpec([bundle("2", "amd64")], OPTIONS, attempt).TaskTemplate,
      Status: { State, ...(Err !== undefined && { Err }) },
    }) as TaskView
  );
}

Deno.test("Agent upgrade: why a device went back is told while its next try waits, and not once more is asked for or done", () => {
  const node = {
    ID: "pi",
    Description: { Hostname: "pi", Facts: { agent: ["1"] } },
    Status: { State: "ready" },
  } as unknown as NodeView;
  const why = (...tasks: Parameters<typeof piTasks>) => deviceRows([node], piTasks(...tasks))[0]!.Error;
  const failed = ["now", "failed", "task: non-zero exit (3)"] as const,
    back = "reached no manager, and went back";
  assert.equal(why([...failed]), back);
  assert.equal(why([...failed], ["now", "ready"]), back);
  assert.equal(why([...failed], ["later", "ready"]), "");
  assert.equal(why([...failed], ["now", "running"]), "");
  assert.equal(
    why([...failed], ["now", "failed", "task: non-zero exit (4)"]),
    "could not be made ready: see the task's log",
  );
  assert.deepEqual(deviceRows([node], [])[0], {
    Node: "pi",
    Version: "1",
    Wanted: "",
    State: "",
    Error: "",
  });
});
