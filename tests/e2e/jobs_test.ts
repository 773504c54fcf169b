/** Jobs of real processes: how often each ran is counted in a file, what they ended with is read from the API. */
import assert from "node:assert/strict";
import type { Fleet } from "../../cli/demo/fleet.ts";
import type { ServiceView, TaskView } from "../../cli/api_types.ts";
import { nodeNamed, waitNode, withFleet } from "../support/e2e.ts";
import { inFolder, run } from "../support/programs.ts";

/** Lines of a file that may not be there yet. */
async function lines(path: string): Promise<string[]> {
  const text = await Deno.readTextFile(path).catch(() => "");
  return text.split("\n").filter((line) => line !== "");
}

async function tasksOf(fleet: Fleet, name: string): Promise<TaskView[]> {
  return await fleet.client.get<TaskView[]>("/tasks", { filters: { service: [name] } });
}

async function statusOf(fleet: Fleet, name: string): Promise<ServiceView["ServiceStatus"]> {
  const filters = { name: [name] };
  return (await fleet.client.get<ServiceView[]>("/services", { status: true, filters }))[0]?.ServiceStatus;
}

/** Runs `covey service create` for a job of the shell's and waits, as it does by itself, until the job is over. */
function createJob(fleet: Fleet, name: string, mode: string[], script: string, flags: string[] = []) {
  const words = [
    "--quiet",
    "--name",
    name,
    "--executor",
    "process",
    // Who can write into the test's folder.
    "--user",
    `${Deno.uid()}:${Deno.gid()}`,
    ...mode,
    "--restart-delay",
    "100ms",
    ...flags,
  ];
  return run("covey", fleet.socket, "service", "create", ...words, "/bin/sh", "-c", script);
}

Deno.test("Jobs: real processes run as often as asked, fail and are tried again, and leave their results", () =>
  inFolder((folder) =>
    withFleet({ docker: "none" }, async (fleet) => {
      await fleet.startManager("manager");
      await waitNode(fleet, "manager", "ready");
      const times = ["--mode", "replicated-job", "--replicas", "3", "--max-concurrent", "2"];
      const ran = `${folder}/ran`;
      assert.equal((await createJob(fleet, "plain", times, `echo x >>${ran}`)).code, 0);
      assert.equal((await lines(ran)).length, 3);
      assert.deepEqual(await statusOf(fleet, "plain"), {
        RunningTasks: 0,
        DesiredTasks: 2,
        CompletedTasks: 3,
      });
      const results = (await tasksOf(fleet, "plain")).map(({ Slot, DesiredState, Status }) =>
        [Slot, DesiredState, Status.State, Status.ContainerStatus?.ExitCode].join(" ")
      );
      assert.deepEqual(results.sort(), [0, 1, 2].map((slot) => `${slot} complete complete 0`));
      assert.match(
        (await run("covey", fleet.socket, "service", "ls")).stdout,
        /plain +replicated job +0\/2 \(3\/3 completed\)/,
      );

      const tried = `${folder}/tried`;
      const second = `echo x >>${tried}; test $(wc -l <${tried}) -gt 1 || exit 3`;
      assert.equal((await createJob(fleet, "again", ["--mode", "replicated-job"], second)).code, 0);
      assert.deepEqual(
        (await tasksOf(fleet, "again")).map(({ Status }) => Status.ContainerStatus?.ExitCode).sort(),
        [0, 3],
      );

      const limited = await createJob(fleet, "never", ["--mode", "global-job"], "exit 3", [
        "--restart-max-attempts",
        "1",
      ]);
      assert.notEqual(limited.code, 0);
      assert.match(
        limited.stderr,
        /job incomplete: 0 of 1 tasks completed, task manager failed: .*exit \(3\)/,
      );
      assert.equal((await tasksOf(fleet, "never")).length, 2);

      const once = await run("covey", fleet.socket, "service", "update", "--quiet", "--force", "plain");
      assert.equal(once.code, 0);
      assert.equal((await lines(ran)).length, 6);
      await waitsForJob(fleet, folder);
    })
  ));

/** A service starts on its node once the job there is done that it waits for, and says so until then. */
async function waitsForJob(fleet: Fleet, folder: string): Promise<void> {
  const order = `${folder}/order`, go = `${folder}/go`;
  const create = (Name: string, script: string, more: object) =>
    fleet.client.post("/services/create", {
      Name,
      TaskTemplate: {
        Runtime: "process",
        ProcessSpec: { Command: "/bin/sh", User: `${Deno.uid()}:${Deno.gid()}`, Args: ["-c", script] },
      },
      ...more,
    });
  const Labels = { "covey.depends-on": "migrate=service_completed_successfully" };
  await assert.rejects(create("web", "", { Labels, Mode: { Global: {} } }), /service migrate not found/);
  const wait = `while ! test -e ${go}; do sleep 0.1; done; echo migrated >>${order}`;
  await create("migrate", wait, { Mode: { GlobalJob: {} } });
  await create("web", `echo up >>${order}; exec sleep 1000`, { Labels, Mode: { Global: {} } });
  const words = "waits for service migrate to complete on this node";
  await fleet.waitUntil("web waits", async () => (await tasksOf(fleet, "web"))[0]?.Status.Message === words);
  const { stdout } = await run("covey", fleet.socket, "explain", "service", "web");
  assert.ok(stdout.includes(words), stdout);
  await Deno.writeTextFile(go, "");
  await fleet.waitUntil("web runs", async () => (await statusOf(fleet, "web"))?.RunningTasks === 1);
  await fleet.waitUntil("web has said so", async () => (await lines(order)).length === 2);
  assert.deepEqual(await lines(order), ["migrated", "up"]);
}

Deno.test("Jobs: a device whose agent is away while its task ends tells of it later; one that joins later runs it", () =>
  inFolder((folder) =>
    withFleet({ docker: "none" }, async (fleet) => {
      await fleet.startManager("manager", ["--no-agent"]);
      await fleet.startAgent("pi-1");
      await waitNode(fleet, "pi-1", "ready");
      const ran = `${folder}/ran`, go = `${folder}/go`;
      await fleet.client.post("/services/create", {
        Name: "once",
        TaskTemplate: {
          Runtime: "process",
          ProcessSpec: {
            Command: "/bin/sh",
            User: `${Deno.uid()}:${Deno.gid()}`,
            Env: ["HOST={{.Node.Hostname}}"],
            Args: [
              "-c",
              `echo $HOST >>${ran}; while ! test -e ${go}; do sleep 0.1; done; echo done >>${ran}`,
            ],
          },
        },
        Mode: { GlobalJob: {} },
      });
      await fleet.waitUntil("the task runs", async () => (await statusOf(fleet, "once"))?.RunningTasks === 1);
      await fleet.end("pi-1", "SIGKILL");
      await Deno.writeTextFile(go, "");
      await fleet.waitUntil("the program ends", async () => (await lines(ran)).length === 2);
      await fleet.restart("pi-1");
      await fleet.startAgent("pi-2");
      await fleet.waitUntil("both devices are done", async () =>
        (await statusOf(fleet, "once"))?.CompletedTasks === 2);
      assert.deepEqual(await lines(ran), ["pi-1", "done", "pi-2", "done"]);
      const nodes = await Promise.all(["pi-1", "pi-2"].map(async (name) =>
        (await nodeNamed(fleet, name)).ID
      ));
      const tasks = await tasksOf(fleet, "once");
      assert.deepEqual(tasks.map(({ NodeID }) => NodeID).sort(), nodes.sort());
      assert.ok(tasks.every(({ Status }) => Status.ContainerStatus?.ExitCode === 0));
    })
  ));
