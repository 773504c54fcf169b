/** See `../million.ts`. */
import { cpuUsage } from "node:process";
import { setImmediate } from "node:timers";
import { systemClock } from "../../api/clock.ts";
import { systemRandom } from "../../api/random.ts";
import { TASK_STATES, type TaskState } from "../../api/task_state.ts";
import { Dispatcher } from "../../manager/dispatcher/mod.ts";
import { Leadership } from "../../manager/leader/leadership.ts";
import { leaderComponents } from "../../manager/server/leader_components.ts";
import { createStore } from "../../manager/store/memory_store.ts";
import type { Store } from "../../manager/store/store.ts";
import { makeNode, makeService } from "../../tests/manager/orchestrator/harness.ts";
import { memoryConsensus } from "../../tests/support/store.ts";
import { openDiskStore } from "../support/disk_store.ts";
import { Device } from "./device.ts";

const REPLICAS_PER_SERVICE = 10_000;
const PRINT_MS = 5000;
const GIB = 2 ** 30;

/** How many tasks are in each state. */
class Census {
  readonly counts = new Map<TaskState, number>();
  #changed: () => void = () => {};

  constructor(store: Store) {
    store.subscribe(({ changes }) => {
      for (const { table, object, old, action } of changes) {
        if (table !== "tasks") continue;
        if (old) this.#add(old.Status.State, -1);
        if (action !== "remove") this.#add(object.Status.State, 1);
      }
      this.#changed();
    });
  }

  of(state: TaskState): number {
    return this.counts.get(state) ?? 0;
  }

  /** Tasks that are in `state` or further. */
  atLeast(state: TaskState): number {
    let sum = 0;
    for (const [each, count] of this.counts) if (TASK_STATES[each] >= TASK_STATES[state]) sum += count;
    return sum;
  }

  reached(state: TaskState, count: number): Promise<void> {
    return new Promise((resolve) => {
      this.#changed = () => this.atLeast(state) >= count ? resolve() : undefined;
      this.#changed();
    });
  }

  #add(state: TaskState, by: number): void {
    this.counts.set(state, this.of(state) + by);
  }
}

function peakBytes(): number {
  const line = /VmHWM:\s+(\d+) kB/.exec(Deno.readTextFileSync("/proc/self/status"));
  return Number(line![1]) * 1024;
}

const begin = performance.now();

function print(what: string): void {
  const { rss, heapUsed } = Deno.memoryUsage();
  const { user, system } = cpuUsage();
  const seconds = ((performance.now() - begin) / 1000).toFixed(1).padStart(6);
  const cpu = ((user + system) / 1e6).toFixed(1).padStart(6);
  const [resident, heap, peak] = [rss, heapUsed, peakBytes()].map((bytes) => (bytes / GIB).toFixed(2));
  console.log(`${seconds} s  cpu ${cpu} s  resident ${resident} GiB  heap ${heap}  peak ${peak}  ${what}`);
}

/** Commits in memory, but as a disk does: others have their turn while it is written. */
async function openMemoryStore() {
  const consensus = memoryConsensus(false);
  consensus.beforeCommit = () => new Promise((resolve) => void setImmediate(resolve));
  const store = createStore(consensus, systemClock);
  await consensus.start(store);
  return { store, consensus };
}

async function run(tasks: number, nodes: number, folder: string | undefined): Promise<void> {
  const { store, consensus } = folder === undefined
    ? await openMemoryStore()
    : await openDiskStore(`${folder}/million.kv`);
  const dispatcher = new Dispatcher({
    store,
    clock: systemClock,
    random: systemRandom,
    managers: () => [{ NodeID: "bench", Addr: "127.0.0.1:2377", Weight: 10 }],
    rootCA: () => "",
  });
  const members = { removeNode: () => Promise.reject(new Error("nobody is demoted here")) };
  const context = { store, clock: systemClock, random: systemRandom, dispatcher, members };
  const leadership = new Leadership(leaderComponents(context), systemClock);
  await leadership.follow({ isLeader: true, term: 1 });

  const nodeIDs = Array.from({ length: nodes }, (_, i) => `node${i}`);
  await store.batch(nodeIDs, (tx, id) => tx.create("nodes", makeNode(id, { state: "unknown" })));
  const methods = dispatcher.methods();
  const devices = nodeIDs.map((id) => new Device(id, methods, systemClock));
  await Promise.all(devices.map((device) => device.start()));
  print(`${nodes} agents have a session`);

  const census = new Census(store);
  const show = () =>
    print([...census.counts].filter(([, n]) => n > 0).map(([s, n]) => `${n} ${s}`).join(", "));
  const timer = setInterval(show, PRINT_MS);
  const stages: TaskState[] = ["new", "pending", "assigned", "running"];
  const started = performance.now();
  for (let made = 0; made < tasks; made += REPLICAS_PER_SERVICE) {
    const Replicas = Math.min(REPLICAS_PER_SERVICE, tasks - made);
    const service = makeService(`service${made / REPLICAS_PER_SERVICE}`, { Replicated: { Replicas } });
    await store.update((tx) => tx.create("services", service));
  }
  for (const state of stages) {
    await census.reached(state, tasks);
    print(`all ${tasks} tasks are at least ${state}`);
  }
  const seconds = (performance.now() - started) / 1000;
  clearInterval(timer);
  print(`done: ${Math.round(tasks / seconds)} tasks/s from service to running, ${store.index} commits`);
  for (const device of devices) device.stop();
  await leadership.follow({ isLeader: false, term: 1 });
  await consensus.stop();
}

const folderAt = Deno.args.indexOf("--disk");
const folder = folderAt < 0 ? undefined : Deno.args[folderAt + 1];
const numbers = (folderAt < 0 ? Deno.args : Deno.args.toSpliced(folderAt, 2)).map(Number);
await run(numbers[0] ?? 1_000_000, numbers[1] ?? 5000, folder);
