/** One manager (store and dispatcher) and one device, in virtual time. */
import { noStreams } from "../../support/no_streams.ts";
import type { CoveyError } from "../../../api/errors.ts";
import { CoveyError as Failure } from "../../../api/errors.ts";
import { type AssignmentsMessage, DISPATCHER_METHODS } from "../../../api/dispatcher.ts";
import type { TaskState } from "../../../api/task_state.ts";
import type { Task } from "../../../api/task.ts";
import { sleep } from "../../../api/clock.ts";
import type { ManagerConnection } from "../../../agent/connection.ts";
import type { CallOptions } from "../../../transport/mod.ts";
import { Agent, type AgentState } from "../../../agent/agent.ts";
import { DependencyKeeper } from "../../../agent/dependencies.ts";
import type { DeviceFacts } from "../../../agent/gate.ts";
import { opensAt } from "../../../api/window.ts";
import { LocalState } from "../../../agent/local_state.ts";
import {
  DirectConnection,
  seededRandom,
  testDispatcher,
  testNode,
  testTask,
} from "../../manager/dispatcher/harness.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { testStore } from "../../support/store.ts";
import { Device } from "./scripted_executor.ts";

export const FACTS = {
  Hostname: "",
  Platform: { OS: "linux", Architecture: "arm64" },
  Resources: { NanoCPUs: 1e9, MemoryBytes: 1e9 },
  Version: "0.1.0",
  Labels: {},
};

/** A device that lets everything in, but for what `change` says. */
export function deviceFacts(nowMs: number, change: Partial<DeviceFacts> = {}): DeviceFacts {
  const platform = FACTS.Platform, lock = undefined;
  return {
    nowMs,
    platform,
    opensAt,
    freeDiskBytes: 1e9,
    availableMemoryBytes: 1e9,
    lock,
    consent: [],
    ...change,
  };
}

export class Cluster {
  readonly clock = new FakeClock();
  readonly device = new Device();
  readonly store = testStore({ clock: this.clock }).store;
  readonly states: { state: AgentState; error: CoveyError | undefined }[] = [];
  readonly dials: number[] = [];
  readonly #path = `${Deno.makeTempDirSync({ prefix: "covey-agent-test-" })}/state.kv`;
  dispatcher!: Awaited<ReturnType<typeof testDispatcher>>["dispatcher"];
  connection: DirectConnection | undefined;
  reachable = true;
  /** How long each answer of the manager takes; a dial takes four of them. */
  roundTripMs = 0;
  /** What a manager refuses a dial with. */
  refusal: Failure | undefined;
  /** The node's private keys, the present one first. */
  keys: string[] = [];
  /** What the device says of itself where a swap is judged; undefined: nothing stands against it. */
  facts: Partial<DeviceFacts> | undefined;
  /** What the agent and the manager speak, where they do not speak the same. */
  protocols: { agent?: number; manager?: number } = {};
  /** How a manager puts the node's tasks, where it is not as this one does. */
  retell: ((message: AssignmentsMessage) => AssignmentsMessage) | undefined;
  /** Whether the device's clock can be gone by. */
  knowsTime = true;
  agent!: Agent;
  state!: LocalState;

  static async start(): Promise<Cluster> {
    const cluster = new Cluster();
    await cluster.store.update((tx) => tx.create("nodes", testNode("n1")));
    await cluster.startManager();
    return cluster;
  }

  async startManager(): Promise<void> {
    this.dispatcher = (await testDispatcher(this.store, this.clock, this.protocols.manager)).dispatcher;
    this.reachable = true;
  }

  /** The manager is gone, for all that the agent can see. */
  stopManager(): void {
    this.reachable = false;
    this.connection?.cut();
    this.dispatcher.stop();
  }

  async startAgent(bootID = "boot-1"): Promise<void> {
    this.state = await LocalState.open(this.#path);
    const dependencies = new DependencyKeeper(this.state, () => Promise.resolve(this.keys));
    await dependencies.load();
    this.agent = new Agent({
      dialer: { dial: (_address, options) => this.#dial(options) },
      executors: [this.device.executor()],
      state: this.state,
      dependencies,
      clock: this.clock,
      random: seededRandom(),
      managers: ["10.0.0.1:2377"],
      facts: FACTS,
      deviceFacts: () => Promise.resolve(deviceFacts(this.clock.now(), this.facts)),
      knowsTime: () => this.knowsTime,
      bootID,
      ...(this.protocols.agent !== undefined && { protocol: this.protocols.agent }),
      onState: (state, error) => this.states.push({ state, error }),
    });
    this.agent.start();
    await this.settle();
  }

  /** Stops the agent; its programs go on. */
  async stopAgent(): Promise<void> {
    await this.agent.stop();
    await this.state.close();
  }

  /** The agent's file is damaged and put aside, between two agents. */
  async forgetState(): Promise<void> {
    for (const suffix of ["", "-wal", "-shm"]) await Deno.remove(this.#path + suffix).catch(() => {});
  }

  async stop(): Promise<void> {
    await this.stopAgent();
    this.dispatcher.stop();
    await this.settle();
    await Deno.remove(this.#path.replace(/\/[^/]*$/, ""), { recursive: true });
  }

  /** Lets everything happen that needs no more than 200 ms. */
  async settle(): Promise<void> {
    for (let i = 0; i < 20; i++) await this.clock.advance(10);
    await this.state?.flush();
    for (let i = 0; i < 5; i++) await this.clock.advance(0);
  }

  async assign(id: string, change: Partial<Task> & { State?: TaskState } = {}): Promise<void> {
    await this.store.update((tx) => tx.create("tasks", testTask(id, "n1", change)));
    await this.settle();
  }

  async want(id: string, DesiredState: TaskState): Promise<void> {
    await this.store.update((tx) => tx.update("tasks", { ...tx.get("tasks", id)!, DesiredState }));
    await this.settle();
  }

  async remove(id: string): Promise<void> {
    await this.store.update((tx) => tx.delete("tasks", id));
    await this.settle();
  }

  /** What the manager knows of a task. */
  status(id: string) {
    return this.store.get("tasks", id)!.Status;
  }

  async #dial(options: CallOptions = {}): Promise<ManagerConnection> {
    this.dials.push(this.clock.now());
    if (this.roundTripMs > 0) await this.#travel(4 * this.roundTripMs, options);
    if (this.refusal) throw this.refusal;
    if (!this.reachable) throw new Failure("unavailable", "Cannot dial: no route to host");
    const connection = this.connection = new DirectConnection(this.dispatcher.methods(), "n1");
    const { retell } = this;
    if (this.roundTripMs === 0 && !retell) return connection;
    const travel = async (more: CallOptions) => {
      if (this.roundTripMs > 0) await this.#travel(this.roundTripMs, more);
    };
    return {
      closed: connection.closed,
      close: () => connection.close(),
      duplex: noStreams,
      async call<T>(method: string, request: unknown, more: CallOptions = {}) {
        await travel(more);
        return await connection.call<T>(method, request, more);
      },
      async *serverStream<T>(method: string, request: unknown, more: CallOptions = {}) {
        await travel(more);
        for await (const message of connection.serverStream<T>(method, request, more)) {
          const isTold = retell && method === DISPATCHER_METHODS.assignments;
          yield isTold ? retell(message as AssignmentsMessage) as T : message;
        }
      },
    };
  }

  /** Takes `ms`, unless the caller has less patience. */
  async #travel(ms: number, { timeoutMs = Infinity, signal }: CallOptions): Promise<void> {
    await sleep(this.clock, Math.min(ms, timeoutMs), signal);
    if (ms > timeoutMs) {
      throw new Failure("deadline_exceeded", `Cannot go on: no answer within ${timeoutMs} ms`);
    }
  }
}
