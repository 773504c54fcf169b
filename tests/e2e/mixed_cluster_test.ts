/** The main job on real parts: containers and plain processes on four nodes, while nodes, agents, managers and tasks die. */
import assert from "node:assert/strict";
import type { Fleet } from "../../cli/demo/fleet.ts";
import type { NodeView, SwarmView, TaskView } from "../../cli/api_types.ts";
import {
  changeSpec,
  globalProcess,
  nodeNamed,
  replicatedContainers,
  runningTasks,
  runService,
  waitNode,
  waitRunning,
  withFleet,
} from "../support/e2e.ts";
import { NO_ENGINE, TEST_ENGINE } from "../support/test_engine.ts";

const DEVICES = ["pi-1", "pi-2", "pi-3"];
const REPLICAS = 4;

/** What a task is recognized by: the same pid or container means that nothing was restarted. */
async function fingerprints(fleet: Fleet, ...services: string[]): Promise<Map<string, string>> {
  const tasks = (await Promise.all(services.map((id) => runningTasks(fleet, id)))).flat();
  return new Map(tasks.map((task) => {
    const { ContainerID = "", PID = 0 } = task.Status.ContainerStatus ?? {};
    return [task.ID, `${ContainerID || PID} on ${task.NodeID}`];
  }));
}

async function setAvailability(
  fleet: Fleet,
  hostname: string,
  Availability: NodeView["Spec"]["Availability"],
) {
  const node = await nodeNamed(fleet, hostname);
  await changeSpec<NodeView["Spec"]>(fleet, `/nodes/${node.ID}`, (spec) => ({ ...spec, Availability }));
}

/** A heartbeat of a second makes a lost node known after three, and the test short. */
function quickHeartbeat(fleet: Fleet): Promise<void> {
  const Dispatcher = { HeartbeatPeriod: 1e9 };
  return changeSpec<SwarmView["Spec"]>(fleet, "/swarm", (spec) => ({ ...spec, Dispatcher }));
}

function isAlive(pid: number): boolean {
  try {
    Deno.kill(pid, "SIGCONT");
    return true;
  } catch {
    return false;
  }
}

Deno.test({
  name: "Mixed cluster: the right tasks are replaced and no healthy one is restarted, whatever dies",
  ignore: NO_ENGINE !== "", // the reason is in the constant
  fn: () =>
    withFleet({ docker: TEST_ENGINE }, async (fleet) => {
      await fleet.startManager("manager-1");
      await quickHeartbeat(fleet);
      for (const device of DEVICES) await fleet.startAgent(device);
      for (const name of ["manager-1", ...DEVICES]) await waitNode(fleet, name, "ready");
      const web = await runService(fleet, replicatedContainers("web", REPLICAS), REPLICAS);
      const edge = await runService(fleet, globalProcess("edge"), DEVICES.length + 1);
      await drain(fleet, web, edge);
      await killAgent(fleet, web, edge);
      await killManager(fleet, web, edge);
      await killTask(fleet, web, edge);
      await stopNode(fleet, web, edge);
    }),
});

async function drain(fleet: Fleet, web: string, edge: string) {
  const drained = (await nodeNamed(fleet, "pi-3")).ID, before = await fingerprints(fleet, web, edge);
  await setAvailability(fleet, "pi-3", "drain");
  await fleet.waitUntil("pi-3 is empty", async () => {
    const tasks = await fleet.client.get<TaskView[]>("/tasks", { filters: { node: [drained] } });
    return tasks.every((task) => task.Status.State !== "running");
  });
  await waitRunning(fleet, web, REPLICAS);
  await waitRunning(fleet, edge, DEVICES.length);
  const after = await fingerprints(fleet, web, edge);
  for (const [id, mark] of before) {
    if (!mark.endsWith(drained)) assert.equal(after.get(id), mark, "a task elsewhere was touched");
  }
  await setAvailability(fleet, "pi-3", "active");
  await waitRunning(fleet, edge, DEVICES.length + 1);
}

async function killAgent(fleet: Fleet, web: string, edge: string) {
  const before = await fingerprints(fleet, web, edge);
  await fleet.end("pi-1", "SIGKILL");
  await fleet.restart("pi-1");
  await waitNode(fleet, "pi-1", "ready");
  // The new agent reports every status again: by the time that a task made now runs there, it has.
  const probe = await runService(fleet, globalProcess("probe"), DEVICES.length + 1);
  assert.deepEqual(await fingerprints(fleet, web, edge), before, "killing an agent restarted a task");
  await fleet.client.delete(`/services/${probe}`);
}

async function killManager(fleet: Fleet, web: string, edge: string) {
  const before = await fingerprints(fleet, web, edge);
  const services = await fleet.client.get<{ ID: string }[]>("/services");
  await fleet.end("manager-1", "SIGKILL");
  await fleet.restart("manager-1");
  await fleet.waitUntil("the manager serves again", async () => {
    try {
      return (await fleet.client.get<unknown[]>("/services")).length === services.length;
    } catch {
      return false;
    }
  });
  for (const name of ["manager-1", ...DEVICES]) await waitNode(fleet, name, "ready");
  const probe = await runService(fleet, globalProcess("probe-2"), DEVICES.length + 1);
  assert.deepEqual(await fingerprints(fleet, web, edge), before, "killing the manager restarted a task");
  await fleet.client.delete(`/services/${probe}`);
}

async function killTask(fleet: Fleet, web: string, edge: string) {
  const before = await fingerprints(fleet, web, edge), pi2 = (await nodeNamed(fleet, "pi-2")).ID;
  const victim = (await runningTasks(fleet, edge)).find((task) => task.NodeID === pi2)!;
  const pid = victim.Status.ContainerStatus!.PID;
  assert.ok(isAlive(pid), "a process task shows the pid of its program");
  Deno.kill(pid, "SIGKILL");
  await fleet.waitUntil(
    "the killed task was replaced on its node",
    async () =>
      (await runningTasks(fleet, edge)).some((task) => task.NodeID === pi2 && task.ID !== victim.ID),
  );
  const [old] = await fleet.client.get<TaskView[]>("/tasks", { filters: { id: [victim.ID] } });
  assert.equal(old?.Status.State, "failed");
  assert.match(old?.Status.Err ?? "", /signal|137|kill/i, "a killed task says so");
  const after = await fingerprints(fleet, web, edge);
  for (const [id, mark] of before) {
    if (id !== victim.ID) assert.equal(after.get(id), mark, "another task was touched");
  }
}

async function stopNode(fleet: Fleet, web: string, edge: string) {
  const lost = (await nodeNamed(fleet, "pi-2")).ID, before = await fingerprints(fleet, web, edge);
  await fleet.end("pi-2", "SIGKILL");
  await waitNode(fleet, "pi-2", "down");
  await fleet.waitUntil("the lost node's containers run elsewhere", async () => {
    const tasks = await runningTasks(fleet, web);
    return tasks.length === REPLICAS && tasks.every((task) => task.NodeID !== lost);
  });
  const after = await fingerprints(fleet, web, edge);
  for (const [id, mark] of before) {
    if (!mark.endsWith(lost)) assert.equal(after.get(id), mark, "a task elsewhere was touched");
  }
  const edgeTask = [...before].find(([id, mark]) => mark.endsWith(lost) && after.has(id));
  assert.ok(edgeTask, "an outage leaves a global task its place");
  await fleet.restart("pi-2");
  await waitNode(fleet, "pi-2", "ready");
  await waitRunning(fleet, edge, DEVICES.length + 1);
  const returned = await fingerprints(fleet, edge);
  assert.equal(returned.get(edgeTask[0]), edgeTask[1], "a returning node's global task was restarted");
  await fleet.waitUntil("the replaced containers are gone from the returned node", async () => {
    const tasks = await fleet.client.get<TaskView[]>("/tasks", { filters: { node: [lost], service: [web] } });
    return tasks.every((task) => task.Status.State !== "running");
  });
}
