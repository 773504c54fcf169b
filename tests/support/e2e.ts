/** Real clusters for tests: real processes on loopback, a real Docker Engine where containers run. */
import { Fleet } from "../../cli/demo/fleet.ts";
import type { NodeView, TaskView } from "../../cli/api_types.ts";
import { CoveyError } from "../../api/errors.ts";
import type { Version } from "../../api/objects.ts";
import type { ServiceSpec } from "../../api/service.ts";

/** Runs `test` with a fleet in a folder of its own; removes its services, ends its processes and removes the folder after. */
export async function withFleet(
  options: { docker?: string },
  test: (fleet: Fleet) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "covey-e2e-" });
  const fleet = new Fleet({ folder, deno: Deno.execPath(), docker: options.docker ?? "none" });
  let failure: unknown;
  try {
    await test(fleet);
  } catch (thrown) {
    failure = thrown;
    await printState(fleet, folder);
  }
  await removeServices(fleet).catch((thrown) => failure ??= thrown);
  await fleet.stop();
  await Deno.remove(folder, { recursive: true });
  if (failure !== undefined) throw failure;
}

/** What somebody needs who reads of a failure: every task with its reason, and the last lines of each log. */
async function printState(fleet: Fleet, folder: string): Promise<void> {
  const tasks = await allTasks(fleet).catch(() => []);
  for (const { ID, NodeID, DesiredState, Status } of tasks) {
    console.error(
      `${ID} on ${NodeID}: ${Status.State}, wanted ${DesiredState}: ${Status.Message} ${Status.Err ?? ""}`,
    );
  }
  for await (const { name } of Deno.readDir(folder)) {
    if (!name.endsWith(".txt")) continue;
    const lines = (await Deno.readTextFile(`${folder}/${name}`)).trimEnd().split("\n");
    console.error(`--- ${name}\n${lines.slice(-30).join("\n")}`);
  }
}

async function removeServices(fleet: Fleet): Promise<void> {
  for (const { ID } of await fleet.client.get<{ ID: string }[]>("/services")) {
    await fleet.client.delete(`/services/${ID}`);
  }
  // Tasks of nodes that were stopped for good stay until they are orphaned.
  await fleet.waitUntil("no task runs any more", async () => {
    const [tasks, ready] = await Promise.all([allTasks(fleet), readyNodes(fleet)]);
    return tasks.every((task) => !ready.has(task.NodeID ?? ""));
  });
}

/** IDs of the nodes that are ready. */
export async function readyNodes(fleet: Fleet): Promise<Set<string>> {
  const nodes = await fleet.client.get<NodeView[]>("/nodes");
  return new Set(nodes.filter((node) => node.Status.State === "ready").map((node) => node.ID));
}

/** Every task that the manager knows. */
export function allTasks(fleet: Fleet): Promise<TaskView[]> {
  return fleet.client.get<TaskView[]>("/tasks");
}

/** The running tasks of one service that shall run. */
export async function runningTasks(fleet: Fleet, serviceID: string): Promise<TaskView[]> {
  const tasks = await fleet.client.get<TaskView[]>("/tasks", { filters: { service: [serviceID] } });
  return tasks.filter((task) => task.Status.State === "running" && task.DesiredState === "running");
}

/** Creates a service and waits until `count` of its tasks run. */
export async function runService(fleet: Fleet, spec: ServiceSpec, count: number): Promise<string> {
  const { ID } = await fleet.client.post<{ ID: string }>("/services/create", spec);
  await waitRunning(fleet, ID, count);
  return ID;
}

/**
 * Changes the spec of what is at `path`. The manager itself writes to services and nodes, such as how far an update is,
 * and a change that it was quicker than is refused: as any client, this one reads and changes once more then.
 */
export async function changeSpec<T>(fleet: Fleet, path: string, change: (spec: T) => T): Promise<void> {
  await fleet.waitUntil(`${path} is changed`, async () => {
    const { Version, Spec } = await fleet.client.get<{ Version: Version; Spec: T }>(path);
    try {
      await fleet.client.post(`${path}/update`, change(Spec), { version: Version.Index });
      return true;
    } catch (thrown) {
      if (thrown instanceof CoveyError && thrown.message === "update out of sequence") return false;
      throw thrown;
    }
  });
}

/** Waits until exactly `count` tasks of a service run. */
export function waitRunning(fleet: Fleet, serviceID: string, count: number): Promise<void> {
  return fleet.waitUntil(
    `${count} tasks of ${serviceID} run`,
    async () => (await runningTasks(fleet, serviceID)).length === count,
  );
}

/** The node of a hostname. */
export async function nodeNamed(fleet: Fleet, hostname: string): Promise<NodeView> {
  const nodes = await fleet.client.get<NodeView[]>("/nodes");
  const node = nodes.find((n) => n.Description?.Hostname === hostname);
  if (!node) throw new Error(`no node is named ${hostname}`);
  return node;
}

/** Waits until a node of this hostname is in `state`. */
export function waitNode(fleet: Fleet, hostname: string, state: NodeView["Status"]["State"]): Promise<void> {
  return fleet.waitUntil(`${hostname} is ${state}`, async () => {
    const nodes = await fleet.client.get<NodeView[]>("/nodes");
    return nodes.some((node) => node.Description?.Hostname === hostname && node.Status.State === state);
  });
}

/** A global service of plain processes. */
export function globalProcess(name: string, script = "while :; do sleep 1; done"): ServiceSpec {
  return {
    Name: name,
    Labels: {},
    TaskTemplate: {
      Runtime: "process",
      ForceUpdate: 0,
      ProcessSpec: { Command: "/bin/sh", Args: ["-c", script], StopGracePeriod: 1e9 },
      RestartPolicy: { Condition: "any", Delay: 2e8 },
    },
    Mode: { Global: {} },
  };
}

/** A replicated service of containers. */
export function replicatedContainers(name: string, count: number): ServiceSpec {
  return {
    Name: name,
    Labels: {},
    TaskTemplate: {
      Runtime: "container",
      ForceUpdate: 0,
      ContainerSpec: { Image: "busybox:local", Command: ["sleep", "100000"], StopGracePeriod: 1e9 },
      RestartPolicy: { Condition: "any", Delay: 2e8 },
    },
    Mode: { Replicated: { Replicas: count } },
  };
}
