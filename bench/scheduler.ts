/**
 * How long the scheduler takes to place the pending tasks of one service, the store's commits included
 * (consensus in memory, as in the figures of SwarmKit, measured on the same kind of machine without raft).
 * Each case runs in a process of its own. Beside it, the floor: what the store takes to commit as many
 * updates of tasks when nothing is to be decided and nobody watches. And the processor's time (all threads,
 * garbage collection included), which says more than the clock on a machine that others use too.
 *
 *     deno task bench scheduler [CASE | NODESxTASKS]
 */
import { cpuUsage } from "node:process";
import { systemClock } from "../api/clock.ts";
import { systemRandom } from "../api/random.ts";
import type { PlacementPreference } from "../api/service.ts";
import type { Task } from "../api/task.ts";
import { newTask } from "../manager/orchestrator/mod.ts";
import { Scheduler } from "../manager/scheduler/mod.ts";
import type { Store } from "../manager/store/store.ts";
import { withStatus } from "../manager/task/task.ts";
import { makeNode, makeService } from "../tests/manager/orchestrator/harness.ts";
import { testStore } from "../tests/support/store.ts";

interface Case {
  name: string;
  nodes: number;
  tasks: number;
  /** Tasks come with their node: they are only validated. */
  global?: boolean;
  constraints?: string[];
  /** Levels of spread preferences. */
  preferences?: PlacementPreference[];
  /** Seconds that SwarmKit needs. */
  swarmkit?: number;
}

const ZONES = 10;
const by = (label: string): PlacementPreference => ({ Spread: { SpreadDescriptor: `node.labels.${label}` } });

const CASES: Case[] = [
  { name: "1k x 10k", nodes: 1000, tasks: 10_000, swarmkit: 1.05 },
  { name: "1k x 100k", nodes: 1000, tasks: 100_000, swarmkit: 12.4 },
  {
    name: "5k x 100k constraints",
    nodes: 5000,
    tasks: 100_000,
    constraints: ["node.labels.disk==ssd", "node.platform.os==linux", "node.role!=manager"],
    swarmkit: 57.2,
  },
  { name: "5k x 100k spread", nodes: 5000, tasks: 100_000, preferences: [by("zone"), by("rack")] },
  { name: "100k x 1k", nodes: 100_000, tasks: 1000, swarmkit: 6.0 },
  { name: "100k x 100k global", nodes: 100_000, tasks: 100_000, global: true, swarmkit: 8.0 },
  { name: "1k x 1k", nodes: 1000, tasks: 1000, swarmkit: 0.13 },
  { name: "10k x 1k", nodes: 10_000, tasks: 1000 },
  { name: "5k x 1M", nodes: 5000, tasks: 1_000_000 },
];

function pendingTasks({ tasks, global, constraints, preferences }: Case, nodeIDs: string[]): Task[] {
  const Placement = {
    ...(constraints && { Constraints: constraints }),
    ...(preferences && { Preferences: preferences }),
  };
  const mode = global ? { Global: {} } : { Replicated: { Replicas: tasks } };
  const service = makeService("web", mode, { template: { Placement } });
  return Array.from({ length: tasks }, (_, i) => {
    const place = global ? { nodeID: nodeIDs[i % nodeIDs.length]! } : { slot: i + 1 };
    const task = newTask(service, place, undefined, systemClock, systemRandom);
    return withStatus(task, task.CreatedAt, "pending", "pending task scheduling");
  });
}

/** A store with the nodes and the pending tasks. */
async function filled(which: Case): Promise<Store> {
  const { store } = testStore({ freeze: false, keepEntries: false, clock: systemClock });
  const nodeIDs = Array.from({ length: which.nodes }, (_, i) => `node${i}`);
  await store.batch(nodeIDs.entries(), (tx, [i, id]) => {
    const labels = {
      disk: i % 2 === 0 ? "ssd" : "sd",
      zone: `z${i % ZONES}`,
      rack: `r${i % (ZONES * ZONES)}`,
    };
    tx.create("nodes", makeNode(id, { labels }));
  });
  await store.batch(pendingTasks(which, nodeIDs), (tx, task) => tx.create("tasks", task));
  return store;
}

interface Cost {
  /** Seconds by the clock. */
  wall: number;
  /** Seconds of processors, all threads together. */
  cpu: number;
}

async function cost(work: () => Promise<void>): Promise<Cost> {
  const cpu = cpuUsage(), begin = performance.now();
  await work();
  const { user, system } = cpuUsage(cpu);
  return { wall: (performance.now() - begin) / 1000, cpu: (user + system) / 1e6 };
}

/** Until every task is assigned. */
async function placed(which: Case): Promise<Cost> {
  const store = await filled(which);
  const scheduler = new Scheduler({ store, clock: systemClock, random: systemRandom });
  const all = Promise.withResolvers<void>();
  let left = which.tasks;
  store.subscribe((commit) => {
    for (const change of commit.changes) {
      if (change.table === "tasks" && change.object.Status.State === "assigned" && --left === 0) {
        all.resolve();
      }
    }
  });
  const spent = await cost(() => {
    scheduler.start();
    return all.promise;
  });
  await scheduler.stop();
  return spent;
}

/** The floor: the same writes, with the nodes given. */
async function written(which: Case): Promise<Cost> {
  const store = await filled(which);
  const tasks = store.all("tasks"), nodes = store.all("nodes");
  return await cost(() =>
    store.batch(tasks.entries(), (tx, [i, task]) => {
      const assigned = withStatus(task, task.CreatedAt, "assigned", "scheduler assigned task to node");
      tx.update("tasks", { ...assigned, NodeID: nodes[i % nodes.length]!.ID });
    })
  );
}

const COLUMNS = [
  "nodes x tasks",
  "wall s",
  "cpu s",
  "floor wall",
  "floor cpu",
  "tasks/s",
  "SwarmKit s",
  "faster",
];

function printRow(cells: string[]): void {
  console.log(cells.map((cell, i) => cell.padEnd(i === 0 ? 22 : 11)).join(""));
}

async function run(which: Case): Promise<void> {
  const ours = await placed(which), floor = await written(which);
  const { name, tasks, swarmkit } = which;
  printRow([
    name,
    ...[ours.wall, ours.cpu, floor.wall, floor.cpu].map((seconds) => seconds.toFixed(3)),
    String(Math.round(tasks / ours.wall)),
    swarmkit === undefined ? "-" : String(swarmkit),
    swarmkit === undefined ? "-" : `${(swarmkit / ours.wall).toFixed(1)}x`,
  ]);
}

const [only] = Deno.args;
if (only !== undefined) {
  const [, nodes, tasks] = /^(\d+)x(\d+)$/.exec(only) ?? [];
  const which = nodes
    ? { name: only, nodes: Number(nodes), tasks: Number(tasks) }
    : CASES.find(({ name }) => name === only);
  if (which === undefined) {
    console.error(`Cannot run case ${only}: there are ${CASES.map(({ name }) => name).join(", ")}`);
    Deno.exit(2);
  }
  await run(which);
} else {
  printRow(COLUMNS);
  for (const { name } of CASES) {
    const args = ["run", "-A", "--unstable-kv", import.meta.filename!, name];
    await new Deno.Command(Deno.execPath(), { args }).spawn().status;
  }
}
