/** A dispatcher on a test store, and connections to it that skip only the network. */
import type { SessionMessage, WeightedPeer } from "../../../api/dispatcher.ts";
import { CoveyError } from "../../../api/errors.ts";
import type { Node, NodeDescription } from "../../../api/node.ts";
import type { Random } from "../../../api/random.ts";
import type { Task } from "../../../api/task.ts";
import type { TaskState } from "../../../api/task_state.ts";
import { Dispatcher } from "../../../manager/dispatcher/mod.ts";
import type { Store } from "../../../manager/store/store.ts";
import type { CallContext, Method } from "../../../transport/mod.ts";
import { type FakeClock, settle } from "../../support/fake_clock.ts";

/** Numbers from a seed; `float` is uniform. */
export function seededRandom(seed = 1): Random {
  let state = seed;
  const next = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  return { float: next, bytes: (length) => Uint8Array.from({ length }, () => next() * 256) };
}

/** What a device with a process executor says of itself. */
export const DESCRIPTION: NodeDescription = {
  Hostname: "device",
  Platform: { OS: "linux", Architecture: "arm64" },
  Resources: { NanoCPUs: 4e9, MemoryBytes: 1e9 },
  Engine: { EngineVersion: "0.1.0" },
  Runtimes: ["process"],
};

/** A node as the CA creates it. */
export function testNode(ID: string): Node {
  return {
    ...META,
    ID,
    Spec: { Name: "", Labels: {}, Role: "worker", Availability: "active" },
    Role: "worker",
    Status: { State: "unknown", Addr: "" },
  };
}

/** An assigned task of a process service. */
export function testTask(
  ID: string,
  NodeID: string,
  change: Partial<Task> & { State?: TaskState } = {},
): Task {
  const { State = "assigned", ...rest } = change;
  return {
    ...META,
    ID,
    Spec: { ProcessSpec: { Command: "sleep", Args: ["1"] }, ForceUpdate: 0, Runtime: "process" },
    ServiceID: "service",
    Slot: 1,
    NodeID,
    ServiceAnnotations: { Name: "web", Labels: {} },
    Status: { Timestamp: META.CreatedAt, State, Message: "" },
    DesiredState: "running",
    ...rest,
  };
}

const META = {
  Version: { Index: 0 },
  CreatedAt: "2026-01-01T00:00:00.000Z",
  UpdatedAt: "2026-01-01T00:00:00.000Z",
};

/** A started dispatcher whose managers and root can be changed. */
export async function testDispatcher(store: Store, clock: FakeClock, protocol?: number) {
  const shown = {
    managers: [{ NodeID: "m1", Addr: "10.0.0.1:2377", Weight: 10 }] as WeightedPeer[],
    root: "ROOT",
  };
  const dispatcher = new Dispatcher({
    store,
    clock,
    random: seededRandom(),
    managers: () => shown.managers,
    rootCA: () => shown.root,
    ...(protocol !== undefined && { protocol }),
  });
  dispatcher.start();
  await settle();
  return { dispatcher, shown };
}

/** A connection of node `nodeID`; `cut` ends it as a broken network does. */
export class DirectConnection {
  readonly closed: Promise<CoveyError | undefined>;
  readonly calls: string[] = [];
  readonly #methods: Record<string, Method>;
  readonly #nodeID: string;
  readonly #abort = new AbortController();
  #close: (error: CoveyError | undefined) => void = () => {};

  constructor(methods: Record<string, Method>, nodeID: string) {
    this.#methods = methods;
    this.#nodeID = nodeID;
    this.closed = new Promise((resolve) => this.#close = resolve);
  }

  async call<T>(method: string, request: unknown, options: { signal?: AbortSignal } = {}): Promise<T> {
    this.#check(method);
    const found = this.#methods[method];
    if (found?.kind !== "unary") throw new CoveyError("unimplemented", `Cannot call ${method}`);
    const { caller, release } = this.#caller(options.signal);
    try {
      return structuredClone(await found.handler(structuredClone(request), caller)) as T;
    } finally {
      release();
    }
  }

  async *serverStream<T>(
    method: string,
    request: unknown,
    options: { signal?: AbortSignal } = {},
  ): AsyncGenerator<T> {
    this.#check(method);
    const found = this.#methods[method];
    if (found?.kind !== "server_stream") throw new CoveyError("unimplemented", `Cannot open ${method}`);
    const { caller, release } = this.#caller(options.signal);
    try {
      for await (const message of found.handler(structuredClone(request), caller)) {
        yield structuredClone(message) as T;
      }
      caller.signal.throwIfAborted();
    } finally {
      release();
    }
  }

  // deno-lint-ignore require-yield -- no test opens streams over it
  async *duplex<T>(method: string): AsyncGenerator<T> {
    this.#check(method);
    await Promise.reject(new CoveyError("unimplemented", `Cannot open ${method}`));
  }

  close(): void {
    this.#end(undefined);
  }

  /** Breaks the connection. */
  cut(): void {
    this.#end(new CoveyError("unavailable", "Cannot go on: the connection broke"));
  }

  #end(error: CoveyError | undefined): void {
    this.#abort.abort(error ?? new CoveyError("canceled", "Cannot go on: the connection was closed"));
    this.#close(error);
  }

  #check(method: string): void {
    this.calls.push(method);
    this.#abort.signal.throwIfAborted();
  }

  #caller(signal?: AbortSignal): { caller: CallContext; release: () => void } {
    const abort = new AbortController();
    const sources = [this.#abort.signal, ...(signal ? [signal] : [])];
    const forward = sources.map((source) => {
      const onAbort = () => abort.abort(source.reason);
      if (source.aborted) onAbort();
      source.addEventListener("abort", onAbort);
      return () => source.removeEventListener("abort", onAbort);
    });
    const peer = { nodeID: this.#nodeID, clusterID: "c", role: "swarm-worker", certificatePEM: "" } as const;
    return {
      caller: { peer, remoteAddress: "192.168.0.7:40000", signal: abort.signal },
      release: () => forward.forEach((stop) => stop()),
    };
  }
}

/** A stream read in the background. */
export class Reader<T> {
  readonly messages: T[] = [];
  error: unknown;
  done: Promise<void>;
  constructor(stream: AsyncIterable<T>) {
    this.done = (async () => {
      try {
        for await (const message of stream) this.messages.push(message);
      } catch (thrown) {
        this.error = thrown;
      }
    })();
  }
  get last(): T {
    return this.messages.at(-1)!;
  }
}

/** Opens a session of the node that `connection` is of. */
export async function openSession(
  connection: DirectConnection,
  SessionID?: string,
  Description: unknown = DESCRIPTION,
) {
  const reader = new Reader(
    connection.serverStream<SessionMessage>("dispatcher.session", {
      ...(SessionID ? { SessionID } : {}),
      Description,
    }),
  );
  await settle();
  return reader;
}
