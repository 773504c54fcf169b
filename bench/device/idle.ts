/** An agent with ten process tasks on a host of its own, while nothing happens; beside it, Docker's Engine. */
import { fileURLToPath } from "node:url";
import { DeviceHosts } from "../../tests/support/device_hosts.ts";
import { pass, processorSeconds, writtenBytes } from "../../tests/support/idle_agent.ts";
import { inWords, memoryOf, processesWith, sumOf } from "./memory.ts";

const TASKS = 10, HOST = 1, SERVICE = 1;
/**
 * What is left to do after the start is done by then: Deno KV looks for expired records once a minute, and after the last
 * write marks a page that it shares in memory by a file.
 */
const SETTLE_MS = 130_000;
const ENGINE = fileURLToPath(new URL("../../tests/support/engine.sh", import.meta.url));

/** Prints what an agent takes in `seconds`. */
export async function measureIdle(seconds: number): Promise<void> {
  const hosts = new DeviceHosts(1), engine = await startEngine();
  try {
    await hosts.startManager();
    hosts.startAgent(HOST);
    await hosts.untilReady();
    await hosts.createService(SERVICE, { Replicated: { Replicas: TASKS } });
    await hosts.until("the tasks run", () => hosts.running(HOST).length === TASKS);
    await pass(SETTLE_MS);
    await measureAgent(hosts, seconds);
    if (engine) measureEngine(engine);
  } finally {
    await hosts.remove();
    await engine?.end();
  }
}

async function measureAgent(hosts: DeviceHosts, seconds: number): Promise<void> {
  const pid = hosts.agentPid(HOST);
  console.log(`agent, idle with ${TASKS} process tasks: ${inWords(memoryOf(pid))}`);
  const used = processorSeconds(pid), written = writtenBytes(pid), bytes = trafficOf(pid);
  await pass(seconds * 1000);
  const percent = (processorSeconds(pid) - used) / seconds * 100;
  const traffic = (trafficOf(pid) - bytes) / seconds;
  console.log(`agent, after ${seconds} s more: ${inWords(memoryOf(pid))}`);
  console.log(`processor time in ${seconds} s: ${percent.toFixed(2)} % of a core`);
  console.log(`bytes written to disk in ${seconds} s: ${writtenBytes(pid) - written}`);
  console.log(`bytes to and from the manager, all heads included: ${traffic.toFixed(1)} a second`);
  const shims = processesWith(`\0serve\0${hosts.folder}/`), { pss, own } = sumOf(shims);
  console.log(
    `${shims.length} shims and their server: ${(pss / TASKS).toFixed(0)} kB proportional a task, ` +
      `${(own / TASKS).toFixed(0)} private`,
  );
}

/** What went through the interface of the process's host, both ways. */
function trafficOf(pid: number): number {
  const line = Deno.readTextFileSync(`/proc/${pid}/net/dev`).split("\n").find((each) =>
    each.includes("eth0:")
  )!;
  const fields = line.split(":")[1]!.trim().split(/\s+/);
  return Number(fields[0]) + Number(fields[8]);
}

interface Engine {
  folder: string;
  end(): Promise<void>;
}

async function startEngine(): Promise<Engine | undefined> {
  const folder = await Deno.makeTempDir({ prefix: "covey-engine-" });
  const run = (verb: string) => new Deno.Command(ENGINE, { args: [verb, folder], stdout: "null" }).output();
  const { success } = await run("up").catch(() => ({ success: false }));
  if (success) return { folder, end: async () => void await run("down") };
  console.log("no engine can be started here to compare with");
}

function measureEngine({ folder }: Engine): void {
  const [dockerd] = [processesWith("dockerd", folder)], containerd = processesWith("containerd", folder);
  const own = containerd.filter((pid) => !dockerd.includes(pid));
  console.log(`dockerd, idle with no container: ${inWords(sumOf(dockerd))}`);
  console.log(`its containerd: ${inWords(sumOf(own))}`);
}
