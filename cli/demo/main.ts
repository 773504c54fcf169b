/** Entry point of `deno task demo`: a cluster on this machine, a global service rolled out to it, and what to type next. */
import process from "node:process";
import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";
import { CoveyError } from "../../api/errors.ts";
import type { ServiceSpec } from "../../api/service.ts";
import type { NodeView, ServiceView, TaskView } from "../api_types.ts";
import type { Output } from "../output.ts";
import { waitConverged } from "../progress.ts";
import { Fleet } from "./fleet.ts";
import { exists } from "../files.ts";

const DEVICES = ["pi-kitchen", "pi-garage", "pi-attic"];
const SPEC = fileURLToPath(new URL("../../examples/global_process.json", import.meta.url));
const USAGE = `Usage: demo [--exit] [--managers N] [--docker SOCKET|none]

  --exit       end with status 0 once everything has converged
  --managers   1, 3, 5 or 7 managers (default: 3 on Linux, else 1)
  --docker     engine for containers (default: /var/run/docker.sock if there is one)
`;

/** Only Linux has all of 127.0.0.0/8 without being told. */
const MANAGERS = Deno.build.os === "linux" ? "3" : "1";

/** Longest wait for tasks to stop before their processes are ended with their agents' folders. */
const CLEANUP_LIMIT_MS = 15_000;

const output: Output = {
  write: (text) => void process.stdout.write(text),
  note: (text) => void process.stdout.write(text),
  interactive: Deno.stdout.isTerminal(),
  nowMs: () => Date.now(),
};

/** How this very machine starts a task: with a deno of its own or through npx. */
function taskCommand(): string {
  return Deno.env.get("npm_command") === "exec" ? `npx -y deno@${Deno.version.deno} task` : "deno task";
}

function nextSteps(fleet: Fleet, managers: number): string {
  const host = `unix://${fleet.socket}`, covey = `${taskCommand()} covey -H ${host}`;
  const last = fleet.socketOf(managers);
  const quorum = managers === 1 ? "" : `
Any manager answers, and one may die. Kill the first, then ask the last:

  kill -9 ${fleet.pid(managerName(1))}
  ${taskCommand()} covey -H unix://${last} node ls
`;
  return `
What to type next, in another terminal (same folder):

  ${covey} node ls
  ${covey} service ps hello-fleet
  ${covey} service create --name web --executor process --replicas 2 /bin/sleep 1000
  ${covey} node update --availability drain pi-attic
  docker -H ${host} node ls          # the stock docker client works too
${quorum}
The control socket${managers === 1 ? " is" : "s are"} ${host}${managers === 1 ? "" : ` to ${last}`}
Every process has a log beside it.
`;
}

function managerName(nth: number): string {
  return `manager-${nth}`;
}

async function startManagers(fleet: Fleet, count: number, signal: AbortSignal): Promise<void> {
  output.write(count === 1 ? "Starting a manager ...\n" : `Starting ${count} managers ...\n`);
  await fleet.startManager(managerName(1));
  output.write(`  ${managerName(1)} serves at ${fleet.address}\n`);
  for (let nth = 2; nth <= count && !signal.aborted; nth++) {
    output.write(`  ${managerName(nth)} serves at ${await fleet.addManager(managerName(nth))}\n`);
  }
}

async function rollOut(fleet: Fleet, managers: number, signal: AbortSignal): Promise<void> {
  await startManagers(fleet, managers, signal);
  if (signal.aborted) return;
  output.write(`Starting ${DEVICES.length} device agents ...\n`);
  for (const device of DEVICES) await fleet.startAgent(device);
  await fleet.waitUntil("all nodes are ready", async () => {
    const nodes = await fleet.client.get<NodeView[]>("/nodes");
    return signal.aborted ||
      nodes.filter((node) => node.Status.State === "ready").length === DEVICES.length + managers;
  });
  if (signal.aborted) return;
  for (const node of await fleet.client.get<NodeView[]>("/nodes")) {
    output.write(`  ${node.Description?.Hostname?.padEnd(12)} ${node.Spec.Role.padEnd(8)} ready\n`);
  }
  const spec = JSON.parse(await Deno.readTextFile(SPEC)) as ServiceSpec;
  output.write(`Creating the global service ${spec.Name}: one process on each node ...\n`);
  const { ID } = await fleet.client.post<{ ID: string }>("/services/create", spec);
  await waitConverged(fleet.client, output, ID, signal);
}

/** Removes the services and waits until no task runs any more: tasks outlive their agents and managers, so they must go first. */
async function removeServices(fleet: Fleet): Promise<void> {
  await fleet.revive();
  const services = await fleet.client.get<ServiceView[]>("/services");
  for (const service of services) await fleet.client.delete(`/services/${service.ID}`);
  const limit = Date.now() + CLEANUP_LIMIT_MS;
  while ((await fleet.client.get<TaskView[]>("/tasks")).length > 0) {
    if (Date.now() > limit) {
      output.write("Some tasks did not stop in time; look for them with: ps -ef\n");
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

interface DemoFlags {
  exit?: boolean;
  docker?: string;
  managers?: string;
  help?: boolean;
}

async function demo(values: DemoFlags): Promise<number> {
  if (values.help) {
    output.write(USAGE);
    return 0;
  }
  const managers = Number(values.managers ?? MANAGERS);
  if (![1, 3, 5, 7].includes(managers)) {
    output.write(`demo: Cannot start ${values.managers} managers: it must be 1, 3, 5 or 7\n\n${USAGE}`);
    return 2;
  }
  const stopped = new AbortController();
  const interrupted = new Promise<void>((resolve) =>
    stopped.signal.addEventListener("abort", () => resolve(), { once: true })
  );
  for (const name of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(name, () => stopped.abort());
  const folder = await Deno.makeTempDir({ prefix: "covey-demo-" });
  const docker = values.docker ?? (await exists("/var/run/docker.sock") ? "/var/run/docker.sock" : "none");
  const fleet = new Fleet({ folder, deno: Deno.execPath(), docker });
  let code = 0;
  try {
    await rollOut(fleet, managers, stopped.signal);
    if (!stopped.signal.aborted) {
      if (values.exit) output.write("Everything has converged.\n");
      else {
        output.write(nextSteps(fleet, managers));
        output.write("\nPress Ctrl-C to end the demo and remove everything.\n");
        await interrupted;
      }
    }
  } catch (thrown) {
    output.write(`demo: ${CoveyError.from(thrown).message}\n`);
    code = 1;
  }
  output.write("\nCleaning up ...\n");
  await removeServices(fleet).catch((thrown: Error) => output.write(`demo: ${thrown.message}\n`));
  await fleet.stop();
  try {
    await Deno.remove(folder, { recursive: true });
  } catch (thrown) {
    output.write(`demo: Cannot remove ${folder}: ${(thrown as Error).message}\n`);
    return 1;
  }
  if (code === 0) output.write("Done: nothing is left behind.\n");
  return code;
}

function readFlags(): DemoFlags | undefined {
  const options = {
    exit: { type: "boolean" },
    docker: { type: "string" },
    managers: { type: "string" },
    help: { type: "boolean" },
  } as const;
  try {
    return parseArgs({ args: Deno.args, options }).values;
  } catch (thrown) {
    output.write(`demo: ${(thrown as Error).message}\n\n${USAGE}`);
  }
}

const flags = readFlags();
Deno.exit(flags === undefined ? 2 : await demo(flags));
