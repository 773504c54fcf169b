/** An agent that ends between two of its writes, in the middle of a swap. */
import assert from "node:assert/strict";
import type { TaskSwap } from "../../api/swap.ts";
import type { Task, TaskStatus } from "../../api/task.ts";
import { DependencyKeeper } from "../../agent/dependencies.ts";
import { LocalState } from "../../agent/local_state.ts";
import { Worker } from "../../agent/worker.ts";
import { createMockExecutor, RUNTIME_MOCK } from "../../executors/mock/mock_executor.ts";
import { MockWorld } from "../../executors/mock/mock_world.ts";
import { task } from "../manager/store/objects.ts";
import { FakeClock } from "../support/fake_clock.ts";

const SECOND_NS = 1e9, MONITOR_MS = 10_000;
const SWAP: TaskSwap = { With: "old", Deadline: 60 * SECOND_NS, Monitor: MONITOR_MS * 1e6 };

/** A device whose disk may be slow; its agents end without a word. */
class SlowDevice {
  readonly clock = new FakeClock();
  readonly world = new MockWorld(this.clock);
  readonly statuses = new Map<string, TaskStatus>();
  readonly #records = new Map<string, { key: Deno.KvKey; value: unknown }>();
  #life = 0;
  /** Commits that go through; the others wait. */
  #left = Infinity;
  #more = Promise.withResolvers<void>();
  #index = 0;
  state!: LocalState;
  worker!: Worker;

  /** So many commits go through from now on, the others wait for the next word. */
  allow(commits: number): void {
    this.#left = commits;
    this.#more.resolve();
    this.#more = Promise.withResolvers();
  }

  /** An agent starts; what the one before it had not yet written is lost. */
  async boot(bootID: string): Promise<void> {
    const life = ++this.#life;
    this.state = await LocalState.load(this.#kvOf(life));
    const { clock } = this;
    this.worker = new Worker({
      clock: {
        now: () => clock.now(),
        monotonic: () => clock.monotonic(),
        // One that was killed does nothing any more.
        setTimer: (delayMs, run) => clock.setTimer(delayMs, () => life === this.#life && run()),
      },
      state: this.state,
      executors: [createMockExecutor(this.world)],
      dependencies: new DependencyKeeper(this.state),
      bootID,
      node: () => Promise.reject(new Error("nobody asks")),
      onStatus: (id, status) => this.statuses.set(id, status),
    });
    this.worker.start();
    this.worker.setConnected(true);
  }

  #kvOf(life: number): Deno.Kv {
    const records = this.#records;
    const get = (key: Deno.KvKey) => Promise.resolve(records.get(key.join("/")) ?? { key, value: null });
    async function* list({ prefix }: { prefix: Deno.KvKey }) {
      await Promise.resolve();
      const start = `${prefix.join("/")}/`;
      for (const [key, record] of [...records].sort()) if (key.startsWith(start)) yield record;
    }
    const atomic = () => {
      const changes: (() => void)[] = [];
      return {
        set: (key: Deno.KvKey, value: unknown) =>
          changes.push(() => records.set(key.join("/"), { key, value })),
        delete: (key: Deno.KvKey) => changes.push(() => records.delete(key.join("/"))),
        commit: async () => {
          while (this.#left === 0) await this.#more.promise;
          this.#left--;
          if (life !== this.#life) return await new Promise(() => {});
          changes.forEach((change) => change());
        },
      };
    };
    return { get, list, atomic, close: () => {} } as unknown as Deno.Kv;
  }

  async assign(ID: string, version: number, change: Partial<Task> = {}): Promise<void> {
    const base = task(ID, "s", "n");
    const Spec = {
      ...base.Spec,
      Runtime: RUNTIME_MOCK,
      GenericSpec: { Payload: { StartMs: version } },
    };
    const Version = { Index: ++this.#index };
    const assigned = { ...base, Version, Spec, ...change } as Task;
    this.worker.applyIncremental([{ Action: "update", Kind: "task", Task: assigned }], this.#index);
    await this.clock.advance(1000);
  }

  get running(): string[] {
    return [...this.world.programs].filter(([, { started, exit }]) => started && !exit).map(([id]) => id);
  }

  losePower(): void {
    this.world.programs.clear();
  }

  async close(): Promise<void> {
    const stopped = this.worker.stop();
    await this.clock.advance(1000);
    await stopped;
    await this.state.flush();
  }
}

/** `old` rests and `new` runs, on the disk too. */
async function begun(change: Partial<TaskSwap> = {}): Promise<SlowDevice> {
  const device = new SlowDevice();
  await device.boot("boot-1");
  await device.assign("old", 1);
  await device.assign("new", 2, { Swap: { ...SWAP, ...change } });
  assert.deepEqual(device.running, ["new"]);
  await device.state.flush();
  return device;
}

Deno.test("Swap: nothing is started by an agent that could not yet note that it has a hand in it", async () => {
  const device = await begun();
  device.losePower();
  device.allow(0);
  await device.boot("boot-2");
  await device.clock.advance(5000);
  assert.deepEqual(device.running, []);
  device.allow(Infinity);
  await device.clock.advance(1000);
  assert.deepEqual(device.running, ["new"]);
  await device.close();
});

Deno.test("Swap: a device that falls over with each start goes back to the old task, however slow its disk is", async () => {
  const device = await begun();
  let starts = 0;
  // Each time the power fails as soon as the new program runs.
  for (let nth = 2; nth < 20; nth++) {
    device.losePower();
    device.allow(0);
    await device.boot(`boot-${nth}`);
    await device.clock.advance(1000);
    if (device.running.includes("new")) {
      starts++;
      continue;
    }
    device.allow(Infinity);
    await device.clock.advance(1000);
    if (device.running.includes("new")) starts++;
    else break;
  }
  await device.clock.advance(2 * MONITOR_MS);
  assert.deepEqual([device.running, starts], [["old"], 4]);
  assert.equal(device.statuses.get("new")!.Swap?.Kind, "rolled_back");
  await device.close();
});

Deno.test("Swap: a version that proved itself is not remembered as bad, whoever was killed meanwhile", async () => {
  const device = await begun();
  device.world.end("new", { ExitCode: 1 });
  await device.clock.advance(1000);
  assert.deepEqual([device.running, device.state.badVersions.size], [["old"], 1]);
  await device.assign("new", 2, { Swap: SWAP, DesiredState: "shutdown" });
  await device.assign("again", 2, { Swap: { ...SWAP, Retry: true }, DesiredState: "ready" });
  await device.state.flush();
  // It notes that it begins, and is killed before it has forgotten that the version is bad.
  device.allow(2);
  await device.assign("again", 2, { Swap: { ...SWAP, Retry: true }, DesiredState: "running" });
  device.allow(Infinity);
  await device.boot("boot-1");
  assert.deepEqual([device.running, device.state.badVersions.size], [["again"], 1]);
  await device.clock.advance(2 * MONITOR_MS);
  await device.state.flush();
  await device.boot("boot-1");
  assert.deepEqual([device.running, device.state.badVersions.size], [["again"], 0]);
  await device.close();
});
