/** Scripts on a real cluster: a global service on every device, its refusals, and an agent that is killed meanwhile. */
import assert from "node:assert/strict";
import type { ServiceSpec } from "../../api/service.ts";
import type { Fleet } from "../../cli/demo/fleet.ts";
import type { ServiceView, TaskView } from "../../cli/api_types.ts";
import { runningTasks, runService, waitNode, waitRunning, withFleet } from "../support/e2e.ts";
import { ROOT, run } from "../support/programs.ts";

/** Start times of the programs of a service's running tasks, by task, node and process ID. */
async function fingerprints(fleet: Fleet, id: string): Promise<Map<string, string>> {
  const tasks = await runningTasks(fleet, id);
  return new Map(
    await Promise.all(tasks.map(async (task) => {
      const pid = task.Status.ContainerStatus!.PID!;
      const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
      const start = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]!;
      return [`${task.ID} on ${task.NodeID} is ${pid}`, start] as const;
    })),
  );
}

/** Waits for a task of the service that has ended, and returns it. */
async function endedTask(fleet: Fleet, id: string): Promise<TaskView> {
  let found: TaskView | undefined;
  await fleet.waitUntil(`a task of ${id} has ended`, async () => {
    const tasks = await fleet.client.get<TaskView[]>("/tasks", { filters: { service: [id] } });
    found = tasks.find(({ Status }) => ["rejected", "failed", "complete"].includes(Status.State));
    return found !== undefined;
  });
  return found!;
}

async function survives(fleet: Fleet) {
  const example = JSON.parse(await Deno.readTextFile(`${ROOT}examples/global_deno.json`)) as ServiceSpec;
  const id = await runService(fleet, example, 2);
  const before = await fingerprints(fleet, id);
  assert.equal(before.size, 2);
  await fleet.end("pi", "SIGKILL");
  await fleet.restart("pi");
  // Its next service shows that the new agent has taken over, and looked after what it found.
  const next = await runService(fleet, { ...example, Name: "next" }, 2);
  await waitRunning(fleet, id, 2);
  assert.deepEqual(await fingerprints(fleet, id), before);
  await fleet.client.delete(`/services/${next}`);
}

async function refuses(fleet: Fleet) {
  const spec = (Name: string, DenoSpec: object, Resources = {}): ServiceSpec => ({
    Name,
    Labels: {},
    TaskTemplate: {
      Runtime: "deno",
      ForceUpdate: 0,
      DenoSpec,
      RestartPolicy: { Condition: "none" },
      ...Resources,
    },
    Mode: { Replicated: { Replicas: 1 } },
  });
  const ended = async (...given: Parameters<typeof spec>) => {
    const { ID } = await fleet.client.post<{ ID: string }>("/services/create", spec(...given));
    return (await endedTask(fleet, ID)).Status;
  };
  const forbidden = await ended("run", { Source: "1", Permissions: { Run: ["/bin/true"] } });
  assert.equal(forbidden.State, "rejected");
  assert.match(forbidden.Err!, /DenoSpec.Permissions.Run: not let in.*: \/bin\/true$/);
  const unnamed = await ended("read", { Source: `Deno.readTextFileSync("/etc/passwd")` });
  assert.deepEqual([unnamed.State, unnamed.ContainerStatus?.ExitCode], ["failed", 1]);
  const full = await ended("full", { Source: "const all = []; for (;;) all.push({ n: all.length });" }, {
    Resources: { Limits: { MemoryBytes: 64 * 2 ** 20 } },
  });
  assert.equal(full.State, "failed");
  assert.match(full.Err!, /out of memory/);
}

async function throughTheCommandLine(fleet: Fleet) {
  const folder = await Deno.makeTempDir({ prefix: "covey-script-" });
  const file = `${folder}/beat.ts`;
  await Deno.writeTextFile(file, "const ms: number = Number(Deno.args[0]); setInterval(() => {}, ms);");
  const covey = (...args: string[]) => run("covey", fleet.socket, "service", ...args);
  const created = await covey(
    "create",
    "--name",
    "sent",
    "--executor",
    "deno",
    "--allow-sys",
    "uid",
    file,
    "1000",
  );
  assert.equal(created.code, 0, created.stderr);
  const [service] = await fleet.client.get<ServiceView[]>("/services", { filters: { name: ["sent"] } });
  assert.deepEqual(service!.Spec.TaskTemplate.DenoSpec, {
    Source: await Deno.readTextFile(file),
    Args: ["1000"],
    Permissions: { Sys: ["uid"] },
  });
  assert.match((await covey("ls")).stdout, /sent +replicated +1\/1 +deno:script/);
  await Deno.writeTextFile(file, "setInterval(() => {}, 1e6);");
  const updated = await covey("update", "--file", file, "--update-monitor", "100ms", "sent");
  assert.equal(updated.code, 0, updated.stderr);
  const missing = await covey("create", "--executor", "deno", `${folder}/none.ts`);
  assert.match(missing.stderr, /Cannot read .*none.ts: No such file/);
  await Deno.remove(folder, { recursive: true });
}

Deno.test("Deno services: run on every device, survive its agent, and do what their spec names only", () =>
  withFleet({}, async (fleet) => {
    await fleet.startManager("manager-1");
    await fleet.startAgent("pi");
    for (const name of ["manager-1", "pi"]) await waitNode(fleet, name, "ready");
    await survives(fleet);
    await refuses(fleet);
    await throughTheCommandLine(fleet);
  }));
