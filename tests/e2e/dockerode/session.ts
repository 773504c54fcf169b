/**
 * A program that speaks to a manager by dockerode: `session.ts SOCKET`, prints one line of JSON with what it saw.
 * It has a configuration of its own, so that no device fetches what only this test needs.
 */
// @ts-types="@types/dockerode"
import Docker from "dockerode";

/** Characters of a label that makes a spec longer than most requests; dockerode sends it in the query as well. */
const LONG = 100_000;

const docker = new Docker({ socketPath: Deno.args[0]! });

function processSpec(name: string): Docker.CreateServiceOptions {
  const ContainerSpec = { Image: "busybox", Command: ["sleep", "1000"] };
  return { Name: name, TaskTemplate: { ContainerSpec }, Mode: { Replicated: { Replicas: 2 } } };
}

/** The actions that `stream` tells of, up to the one named `last`. */
async function actionsUntil(stream: AsyncIterable<Uint8Array>, last: string): Promise<string[]> {
  const actions: string[] = [];
  let rest = "";
  for await (const bytes of stream) {
    const lines = (rest + new TextDecoder().decode(bytes)).split("\n");
    rest = lines.pop()!;
    actions.push(...lines.filter((line) => line.trim() !== "").map((line) => JSON.parse(line).Action));
    if (actions.includes(last)) break;
  }
  return actions;
}

/** The status code with which `call` is refused. */
async function refusal(call: Promise<unknown>): Promise<number | undefined> {
  try {
    await call;
  } catch (error) {
    return (error as { statusCode?: number }).statusCode;
  }
}

const stream = await docker.getEvents({ filters: { type: ["service"] } });
const actions = actionsUntil(stream as unknown as AsyncIterable<Uint8Array>, "remove");
const { id } = await docker.createService(processSpec("web"));
const service = docker.getService(id);
const before = await service.inspect();
await service.update({ version: before.Version.Index, ...before.Spec, Labels: { long: "x".repeat(LONG) } });
const after = await service.inspect();
const listed = await docker.listServices({ filters: { name: ["web"] } });
const tasks = await docker.listTasks({ filters: { service: ["web"] } });
const task = await docker.getTask(tasks[0]!.ID).inspect();
const nodes = await docker.listNodes();
const refused = [
  await refusal(docker.createService(processSpec("web"))),
  await refusal(docker.getService("nobody").inspect()),
];
await service.remove();
console.log(JSON.stringify({
  id,
  before: before.Spec,
  after: { ...after.Spec, Labels: {} },
  label: after.Spec.Labels.long.length,
  newer: after.Version.Index > before.Version.Index,
  listed: listed.map(({ ID }) => ID),
  tasks: tasks.length,
  taskOf: task.ServiceID,
  nodes: nodes.length,
  refused,
  actions: await actions,
}));
