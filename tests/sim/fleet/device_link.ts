/** A device's way to the leader: the production dispatcher's calls, over a network that is slow and breaks. */
import {
  type AssignmentsMessage,
  DISPATCHER_METHODS,
  type HeartbeatResponse,
  type SessionMessage,
  type UpdateTaskStatusRequest,
} from "../../../api/dispatcher.ts";
import { CoveyError } from "../../../api/errors.ts";
import type { CallContext, Method } from "../../../transport/mod.ts";
import type { World } from "../cluster/world.ts";
import type { SeededRandom } from "../raft/random.ts";
import type { Managers } from "./managers.ts";

/** One way over the network, milliseconds. */
const LATENCY_MS = 20;
/** Between two attempts to reach a manager, at most: a node may open three sessions in eight seconds. */
const RETRY_MS = 4_000;

/** Who hears of what comes. */
export interface LinkListener {
  connected(): void;
  disconnected?(): void;
  assigned(message: AssignmentsMessage): void;
}

interface Session {
  methods: Record<string, Method>;
  abort: AbortController;
  id: string;
}

/** Keeps a session with whoever leads, for as long as the device is online. */
export class DeviceLink {
  online = false;
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly #managers: Managers;
  readonly #name: string;
  readonly #listener: LinkListener;
  #session: Session | undefined;
  /** Attempts of an earlier time online end. */
  #era = 0;

  /** Its agent swaps tasks by itself. */
  readonly #swaps: boolean;

  constructor(name: string, world: World, managers: Managers, listener: LinkListener, swaps = false) {
    this.#swaps = swaps;
    this.#name = name;
    this.#world = world;
    this.#managers = managers;
    this.#listener = listener;
    this.#random = world.fork();
  }

  goOnline(): void {
    if (this.online) return;
    this.online = true;
    void this.#connect(++this.#era);
  }

  goOffline(): void {
    this.online = false;
    this.#era++;
    this.#cut(this.#session);
  }

  /** Rejects unless the managers have taken it, or if their answer is lost. */
  async report(Updates: UpdateTaskStatusRequest["Updates"]): Promise<void> {
    const session = this.#session;
    if (session === undefined || session.id === "") throw broken();
    await this.#call(session, DISPATCHER_METHODS.updateTaskStatus, { SessionID: session.id, Updates });
  }

  async #connect(era: number): Promise<void> {
    while (this.online && era === this.#era && this.#session === undefined) {
      await this.#world.sleep(LATENCY_MS + this.#random.next() * RETRY_MS);
      const { methods } = this.#managers;
      if (!methods || era !== this.#era || this.#session) continue;
      const session = this.#session = { methods, abort: new AbortController(), id: "" };
      const ended = () => {
        this.#cut(session);
        if (this.online && era === this.#era) void this.#connect(era);
      };
      void this.#run(session).then(ended, ended);
      return;
    }
  }

  #cut(session: Session | undefined): void {
    session?.abort.abort(broken());
    if (session === undefined || this.#session !== session) return;
    this.#session = undefined;
    if (session.id !== "") this.#listener.disconnected?.();
  }

  async #run(session: Session): Promise<void> {
    const { signal } = session.abort;
    const others = Promise.withResolvers<never>();
    const messages = this.#stream<SessionMessage>(session, DISPATCHER_METHODS.session, {
      Description: { ...description(this.#name), ...(this.#swaps && { Swaps: true as const }) },
    });
    const reading = (async () => {
      for await (const { SessionID } of messages) {
        if (session.id !== "" || signal.aborted) continue;
        await this.#world.sleep(LATENCY_MS);
        if (signal.aborted) return;
        session.id = SessionID;
        this.#assignments(session).then(() => others.reject(broken()), others.reject);
        this.#heartbeats(session).catch(others.reject);
        this.#listener.connected();
      }
    })();
    await Promise.race([reading, others.promise]);
  }

  async #assignments(session: Session): Promise<void> {
    const request = { SessionID: session.id, Kinds: [] };
    for await (
      const message of this.#stream<AssignmentsMessage>(session, DISPATCHER_METHODS.assignments, request)
    ) {
      this.#world.queue.after(LATENCY_MS, () => {
        if (!session.abort.signal.aborted) this.#listener.assigned(message);
      });
    }
  }

  async #heartbeats(session: Session): Promise<void> {
    const { signal } = session.abort;
    while (!signal.aborted) {
      const answer = await this.#call(session, DISPATCHER_METHODS.heartbeat, { SessionID: session.id });
      await this.#world.sleep((answer as HeartbeatResponse).PeriodMs);
    }
  }

  async #call({ methods, abort: { signal } }: Session, name: string, request: unknown): Promise<unknown> {
    await this.#world.sleep(LATENCY_MS);
    signal.throwIfAborted();
    const method = methods[name]!;
    if (method.kind !== "unary") throw new TypeError(`${name} is no call`);
    const answer = await method.handler(request, this.#context(signal));
    await this.#world.sleep(LATENCY_MS);
    signal.throwIfAborted();
    return answer;
  }

  #stream<T>({ methods, abort: { signal } }: Session, name: string, request: unknown): AsyncIterable<T> {
    const method = methods[name]!;
    if (method.kind !== "server_stream") throw new TypeError(`${name} is no stream`);
    return method.handler(request, this.#context(signal)) as AsyncIterable<T>;
  }

  #context(signal: AbortSignal): CallContext {
    const peer = {
      nodeID: this.#name,
      clusterID: "cluster",
      role: "swarm-worker" as const,
      certificatePEM: "",
    };
    return { peer, remoteAddress: "192.0.2.7:40000", signal };
  }
}

function broken(): CoveyError {
  return new CoveyError("unavailable", "Cannot go on: the connection broke");
}

function description(Hostname: string) {
  return {
    Hostname,
    Platform: { OS: "linux", Architecture: "arm64" },
    Resources: { NanoCPUs: 4e9, MemoryBytes: 2 ** 30 },
    Engine: { EngineVersion: "0" },
    Runtimes: ["process"],
  };
}
