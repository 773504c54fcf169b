/**
 * How long a manager takes, from the start of its process, until it serves a large state: 100 services whose tasks run on
 * 900 nodes. Each round is a fresh process on the same state folder.
 *
 *     deno task bench restart [OBJECTS=100000] [ROUNDS=3] [FOLDER]
 */
import { systemClock, timestamp } from "../api/clock.ts";
import type { Meta } from "../api/objects.ts";
import type { Node } from "../api/node.ts";
import { newID, systemRandom } from "../api/random.ts";
import type { Service } from "../api/service.ts";
import { Fleet } from "../cli/demo/fleet.ts";
import { newTask } from "../manager/orchestrator/mod.ts";
import { ManagerKeys, systemFileSystem } from "../security/mod.ts";
import { RaftMember } from "../manager/consensus/member/mod.ts";
import { createStore } from "../manager/store/mod.ts";
import { median } from "./figures.ts";
import { SOCKET_ORIGIN } from "../api/socket_origin.ts";

const SERVICES = 100, NODES = 900, POLL_MS = 25;
const objects = Number(Deno.args[0] ?? 100_000), rounds = Number(Deno.args[1] ?? 3);
const replicas = Math.floor((objects - SERVICES - NODES) / SERVICES);

function meta(): Meta {
  return { ID: newID(systemRandom), Version: { Index: 0 }, CreatedAt: "", UpdatedAt: "" };
}

/** Its tasks take about 1 KB each. */
function benchService(nth: number): Service {
  const Env = Array.from({ length: 16 }, (_, i) => `VARIABLE_${i}=some value of service ${nth}`);
  const ContainerSpec = { Image: "busybox:latest", Args: ["sleep", "600"], Env };
  const TaskTemplate = { Runtime: "container", ContainerSpec, ForceUpdate: 0 };
  const Spec = {
    Name: `bench-${nth}`,
    Labels: {},
    TaskTemplate,
    Mode: { Replicated: { Replicas: replicas } },
  };
  return { ...meta(), Spec, SpecVersion: { Index: 1 } };
}

function benchNode(): Node {
  const Spec = { Name: "", Labels: {}, Role: "worker", Availability: "active" } as const;
  return { ...meta(), Spec, Role: "worker", Status: { State: "ready", Addr: "10.0.0.1" } };
}

/** Writes the objects into the state of a manager that has ended. */
async function fill(stateDir: string): Promise<void> {
  const { nodeID, advertise } = JSON.parse(await Deno.readTextFile(`${stateDir}/node.json`));
  const keys = new ManagerKeys(systemFileSystem, stateDir);
  await keys.load();
  const consensus = await RaftMember.open(`${stateDir}/raft/state.kv`, {
    nodeID,
    dataKeys: keys.data,
    address: advertise,
    random: systemRandom,
    clock: systemClock,
    dialer: { dial: () => Promise.reject(new Error("there is nobody else")) },
  });
  const store = createStore(consensus, systemClock);
  await consensus.start(store);
  const services = Array.from({ length: SERVICES }, (_, nth) => benchService(nth));
  const nodes = Array.from({ length: NODES }, benchNode);
  await store.batch(services, (tx, service) => tx.create("services", service));
  await store.batch(nodes, (tx, node) => tx.create("nodes", node));
  await store.batch(Array(SERVICES * replicas).keys(), (tx, nth) => {
    const place = { slot: Math.floor(nth / SERVICES) + 1 };
    const task = newTask(services[nth % SERVICES]!, place, undefined, systemClock, systemRandom);
    const Status = { Timestamp: timestamp(systemClock), State: "running", Message: "started" } as const;
    tx.create("tasks", { ...task, NodeID: nodes[nth % NODES]!.ID, Status });
  });
  await consensus.stop();
}

/** Milliseconds until the control API answers `path`. */
async function answered(client: Deno.HttpClient, path: string): Promise<number> {
  const start = performance.now();
  for (;;) {
    const response = await fetch(`${SOCKET_ORIGIN}${path}`, { client }).catch(() => undefined);
    await response?.body?.cancel();
    if (response?.ok) return performance.now() - start;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function residentMiB(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1]) / 1024;
}

const dir = Deno.args[2];
const folder = await Deno.makeTempDir({ prefix: "covey-bench-", ...(dir && { dir }) });
const fleet = new Fleet({ folder, deno: Deno.execPath(), docker: "none" });
const client = Deno.createHttpClient({ proxy: { transport: "unix", path: fleet.socket } });
try {
  await fleet.startManager("manager", ["--no-agent"]);
  await fleet.end("manager", "SIGTERM");
  await fill(`${folder}/manager`);
  const whole: number[] = [], loads: number[] = [], resident: number[] = [];
  for (let round = 0; round < rounds; round++) {
    await fleet.restart("manager");
    const ping = await answered(client, "/_ping");
    const load = await answered(client, "/services");
    whole.push(ping + load);
    loads.push(load);
    resident.push(residentMiB(fleet.pid("manager")));
    await fleet.end("manager", "SIGTERM");
  }
  const [seconds, ofIt] = [whole, loads].map((list) => (median(list) / 1000).toFixed(2));
  console.log(
    `restart with ${objects} objects: ${seconds} s from the start of the process, of it ${ofIt} s after it first ` +
      `answered a ping, ${median(resident).toFixed(0)} MiB resident (median of ${rounds})`,
  );
} finally {
  await fleet.stop();
  client.close();
  await Deno.remove(folder, { recursive: true });
}
Deno.exit(0);
