/**
 * How long the scheduler takes to place the pending tasks of one service, the store's commits included
 * (consensus in memory, as in the figures of SwarmKit, measured on the same kind of machine without raft).
 *
 * deno run -A --unstable-kv bench/scheduler.ts
 */
import { systemClock } from "../api/clock.ts";
import { systemRandom } from "../api/random.ts";
import type { Task } from "../api/task.ts";
import { newTask } from "../manager/orchestrator/mod.ts";
import { Scheduler } from "../manager/scheduler/mod.ts";
import type { Store } from "../manager/store/store.ts";
import { makeNode, makeService } from "../tests/manager/orchestrator/harness.ts";
import { testStore } from "../tests/support/store.ts";

interface Case {
  nodes: number;
  tasks: number;
  global?: boolean;
  /** Seconds that SwarmKit needs. */
  swarmkit?: number;
}

const CASES: Case[] = [
  { nodes: 1000, tasks: 10_000, swarmkit: 0.57 },
  { nodes: 1000, tasks: 100_000, swarmkit: 8.3 },
  { nodes: 10_000, tasks: 10_000, global: true, swarmkit: 0.57 },
  { nodes: 5000, tasks: 1_000_000 },
];

async function fill(store: Store, { nodes, tasks, global }: Case): Promise<void> {
  const nodeIDs = Array.from({ length: nodes }, (_, i) => `node${i}`);
  await store.batch(nodeIDs, (tx, id) => tx.create("nodes", makeNode(id)));
  const service = makeService("web", global ? { Global: {} } : { Replicated: { Replicas: tasks } });
  await store.update((tx) => tx.create("services", service));
  const pending = function* (): Generator<Task> {
    for (let i = 0; i < tasks; i++) {
      const place = global ? { nodeID: nodeIDs[i % nodes]! } : { slot: i + 1 };
      const task = newTask(service, place, undefined, systemClock, systemRandom);
      yield { ...task, Status: { ...task.Status, State: "pending", Message: "pending task scheduling" } };
    }
  };
  await store.batch(pending(), (tx, task) => tx.create("tasks", task));
}

/** Seconds until every task is assigned. */
async function measure(which: Case): Promise<number> {
  const { store } = testStore({ freeze: false, clock: systemClock });
  await fill(store, which);
  const scheduler = new Scheduler({ store, clock: systemClock, random: systemRandom });
  const placed = Promise.withResolvers<void>();
  let left = which.tasks;
  store.subscribe((commit) => {
    for (const change of commit.changes) {
      if (change.table === "tasks" && change.object.Status.State === "assigned" && --left === 0) {
        placed.resolve();
      }
    }
  });
  const begin = performance.now();
  scheduler.start();
  await placed.promise;
  const seconds = (performance.now() - begin) / 1000;
  await scheduler.stop();
  return seconds;
}

/** Seconds for the decisions alone: the same work with a store whose batches are dropped. */
async function decide(which: Case): Promise<number> {
  const { store } = testStore({ freeze: false, clock: systemClock });
  await fill(store, which);
  const done = Promise.withResolvers<void>();
  const dry = Object.create(store) as Store;
  dry.all = (table) => store.all(table);
  dry.subscribe = () => () => {};
  dry.batch = (items: Iterable<unknown>) => {
    if ([...items].length > 0) done.resolve();
    return Promise.resolve();
  };
  const scheduler = new Scheduler({ store: dry, clock: systemClock, random: systemRandom });
  const begin = performance.now();
  scheduler.start();
  await done.promise;
  const seconds = (performance.now() - begin) / 1000;
  await scheduler.stop();
  return seconds;
}

console.log("nodes   tasks     decided s  committed s  tasks/s   SwarmKit s  times faster");
for (const which of CASES) {
  const decided = await decide(which);
  const committed = await measure(which);
  const { nodes, tasks, global, swarmkit } = which;
  const cells = [
    String(nodes).padEnd(7),
    `${tasks}${global ? " global" : ""}`.padEnd(9),
    decided.toFixed(3).padEnd(10),
    committed.toFixed(3).padEnd(12),
    String(Math.round(tasks / committed)).padEnd(9),
    (swarmkit === undefined ? "-" : String(swarmkit)).padEnd(11),
    swarmkit === undefined ? "-" : (swarmkit / committed).toFixed(1),
  ];
  console.log(cells.join(" "));
}
