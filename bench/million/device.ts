/** An agent without a device: it opens a session with the dispatcher and says of each task that it runs. */
import {
  type AssignmentsMessage,
  DISPATCHER_METHODS,
  type HeartbeatResponse,
  type SessionMessage,
} from "../../api/dispatcher.ts";
import { type Clock, sleep, timestamp } from "../../api/clock.ts";
import type { NodeDescription } from "../../api/node.ts";
import type { Task } from "../../api/task.ts";
import type { TaskState } from "../../api/task_state.ts";
import { StatusReporter } from "../../agent/status_reporter.ts";
import type { CallContext, Method } from "../../transport/mod.ts";

/** What an agent reports of a task that starts well. Steps that follow at once become one report. */
const LIFE: readonly TaskState[] = ["accepted", "preparing", "ready", "starting", "running"];

const DESCRIPTION: NodeDescription = {
  Hostname: "device",
  Platform: { OS: "linux", Architecture: "arm64" },
  Resources: { NanoCPUs: 4e9, MemoryBytes: 8e9 },
  Engine: { EngineVersion: "0.1.0" },
  Runtimes: ["process"],
};

/** One simulated device. */
export class Device {
  readonly #methods: Record<string, Method>;
  readonly #clock: Clock;
  readonly #reporter: StatusReporter;
  readonly #stop = new AbortController();
  readonly #context: CallContext;
  readonly #started = new Set<string>();

  constructor(nodeID: string, methods: Record<string, Method>, clock: Clock) {
    this.#methods = methods;
    this.#clock = clock;
    this.#reporter = new StatusReporter(clock);
    const peer: CallContext["peer"] = {
      nodeID,
      role: "swarm-worker",
      clusterID: "cluster",
      certificatePEM: "",
    };
    this.#context = { peer, remoteAddress: "10.0.0.1:40000", signal: this.#stop.signal };
  }

  /** Resolves once its session is there. One that ends, on a machine with no time for heartbeats, is followed by another. */
  async start(): Promise<void> {
    const session = this.#stream<SessionMessage>(DISPATCHER_METHODS.session, { Description: DESCRIPTION });
    const first = await session.next();
    if (first.done) throw new Error("Cannot start a device: its session ended");
    const { SessionID } = first.value;
    this.#reporter.connect(async (Updates) => {
      await this.#call(DISPATCHER_METHODS.updateTaskStatus, { SessionID, Updates });
    }, []);
    const assignments = this.#stream<AssignmentsMessage>(DISPATCHER_METHODS.assignments, { SessionID });
    const parts = [this.#drain(session), this.#beat(SessionID), this.#run(assignments)];
    Promise.race(parts).catch(() => {}).then(() => this.#startAgain());
  }

  async #startAgain(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#reporter.disconnect();
    await this.start();
  }

  stop(): void {
    this.#stop.abort();
    this.#reporter.disconnect();
  }

  #call<T>(name: string, request: unknown): Promise<T> {
    const method = this.#methods[name]!;
    if (method.kind !== "unary") throw new TypeError(`Cannot call ${name}`);
    return method.handler(request, this.#context) as Promise<T>;
  }

  #stream<T>(name: string, request: unknown): AsyncIterator<T> {
    const method = this.#methods[name]!;
    if (method.kind !== "server_stream") throw new TypeError(`Cannot open ${name}`);
    return (method.handler(request, this.#context) as AsyncIterable<T>)[Symbol.asyncIterator]();
  }

  async #drain(stream: AsyncIterator<unknown>): Promise<void> {
    while (!(await stream.next()).done);
  }

  async #beat(SessionID: string): Promise<void> {
    while (true) {
      const { PeriodMs } = await this.#call<HeartbeatResponse>(DISPATCHER_METHODS.heartbeat, { SessionID });
      await sleep(this.#clock, PeriodMs, this.#stop.signal);
    }
  }

  async #run(stream: AsyncIterator<AssignmentsMessage>): Promise<void> {
    while (true) {
      const { done, value } = await stream.next();
      if (done) return;
      for (const change of value.Changes) {
        if (change.Action === "update" && change.Kind === "task") void this.#live(change.Task);
      }
    }
  }

  async #live(task: Task): Promise<void> {
    if (task.DesiredState !== "running" || this.#started.has(task.ID)) return;
    this.#started.add(task.ID);
    const Timestamp = timestamp(this.#clock);
    for (const State of LIFE) {
      this.#reporter.report(task.ID, { Timestamp, State, Message: State });
      await Promise.resolve();
    }
  }
}
