/** A whole manager on a real folder, in virtual time, and the nodes that are connected to it through the transport's twin. */
import { ADMINISTRATOR, type Caller } from "../../../manager/control/caller.ts";
import { deepStrictEqual, ok } from "node:assert/strict";
import {
  type AssignmentsMessage,
  DISPATCHER_METHODS,
  type HeartbeatResponse,
  type SessionMessage,
} from "../../../api/dispatcher.ts";
import { CoveyError } from "../../../api/errors.ts";
import type { Node } from "../../../api/node.ts";
import { compareStates } from "../../../api/task_state.ts";
import { createCluster } from "../../../manager/cluster/new_cluster.ts";
import type { Disk } from "../../../manager/consensus/disk/disk.ts";
import { openKvDisk } from "../../../manager/consensus/disk/kv_disk.ts";
import { RaftMember } from "../../../manager/consensus/member/mod.ts";
import type { ControlAPI } from "../../../manager/http/app.ts";
import type { NodeLifecycle } from "../../../manager/http/lifecycle.ts";
import { controlAPI } from "../../../manager/http/mod.ts";
import { RunningManager } from "../../../manager/server/running_manager.ts";
import { type Store, TABLE_NAMES } from "../../../manager/store/mod.ts";
import type { NodeIdentity } from "../../../security/mod.ts";
import { type Connection, memoryNetwork } from "../../../transport/mod.ts";
import { FakeClock, settle } from "../../support/fake_clock.ts";
import { identityOf } from "../../support/transport.ts";
import { seededRandom } from "../dispatcher/harness.ts";

const MANAGER = "m1";
const ADDRESS = "m1:2377";
/** Virtual milliseconds that a call may take. */
const MAX_CALL_MS = 5 * 60_000;
/** Virtual milliseconds of a step of the clock. */
const STEP_MS = 100;

/** The manager, started again by {@linkcode restart}. */
export class Leader {
  readonly clock = new FakeClock();
  readonly #network = memoryNetwork();
  readonly #random = seededRandom(7);
  readonly #folder: string;
  #writing = 0;
  #manager: RunningManager | undefined;
  #api: ControlAPI | undefined;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Founds a cluster with `nodes` in `folder`. */
  static async found(folder: string, nodes: readonly string[]): Promise<Leader> {
    const leader = new Leader(folder);
    await leader.#open();
    const first = { clusterID: "cluster1", nodeID: MANAGER, availability: "drain" } as const;
    await createCluster(leader.store, first, {}, { clock: leader.clock, random: leader.#random });
    await leader.store.update((tx) => nodes.forEach((ID) => tx.create("nodes", workerNode(ID))));
    await leader.#serve();
    return leader;
  }

  get store() {
    return this.#manager!.store;
  }

  /** Lets virtual time pass, though not while the disk is busy: it takes none. */
  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += STEP_MS) {
      while (this.#writing > 0) await settle(1);
      await this.clock.advance(STEP_MS);
    }
  }

  /** Waits in virtual time. */
  async until(what: string, condition: () => boolean, withinMs = 60_000): Promise<void> {
    for (let waited = 0; waited < withinMs && !condition(); waited += STEP_MS) await this.pass(STEP_MS);
    ok(condition(), `${what}: not within ${withinMs} ms`);
  }

  /** What a call that takes virtual time comes to. */
  async settled<T>(work: Promise<T>): Promise<T> {
    let over = false;
    const done = work.finally(() => over = true);
    done.catch(() => {});
    await this.until("the call ends", () => over, MAX_CALL_MS);
    return await done;
  }

  /** Makes a request of the control API. */
  async call(method: string, path: string, body?: unknown): Promise<{ status: number; text: string }> {
    const text = body === undefined ? {} : { body: JSON.stringify(body) };
    const work = this.#api!.fetch(
      new Request(`http://docker/v1.41${path}`, { method, ...text }),
      ADMINISTRATOR,
    );
    const response = await this.settled(Promise.resolve(work));
    return { status: response.status, text: await response.text() };
  }

  /** Connects as a node; for whoever lets virtual time pass. */
  dial(nodeID: string): Promise<Connection> {
    const { clock } = this;
    return this.#network.dialer({ host: nodeID, identity: () => identityOf(nodeID), clock }).dial(ADDRESS);
  }

  /** Stops, opens the folder again, where everything must be as it was, and leads anew. */
  async restart(): Promise<void> {
    await this.stop();
    const before = contents(this.store);
    await this.#open();
    deepStrictEqual(contents(this.store), before);
    await this.#serve();
  }

  async stop(): Promise<void> {
    this.#api!.close();
    await this.settled(this.#manager!.stop());
  }

  async #open(): Promise<void> {
    const { clock } = this, random = this.#random, identity = identityOf(MANAGER, "swarm-manager");
    const answer = (request: Request, caller: Caller) => this.#api!.answer(request, caller);
    const opening = RunningManager.open(
      {
        raftDir: "",
        dataKeys: [],
        nodeID: MANAGER,
        listen: ADDRESS,
        advertise: ADDRESS,
        clock,
        random,
        answer,
      },
      {
        network: {
          dialer: this.#network.dialer({ host: MANAGER, identity: () => identity, clock }),
          useJudge: () => {},
          certified: () => undefined,
          useIdentity: () => {},
          listen: (listen, router, onConnection) =>
            this.#network.listen({ listen, router, clock, onConnection, identity: () => identity }),
        },
        openMember: async (options) => {
          const disk = await openKvDisk(`${this.#folder}/state.kv`);
          return await RaftMember.openOnDisk(this.#watched(disk), { ...options, checkpointEntries: 300 });
        },
      },
    );
    this.#manager = await this.settled(opening);
    const failed = (error: Error) => {
      throw new Error(`the manager has ended: ${error.message}`);
    };
    void this.#manager.consensus.failed.then(failed);
    this.#api = controlAPI({
      lifecycle: {
        state: "active",
        error: "",
        nodeID: MANAGER,
        nodeAddr: "m1",
        manager: this.#manager,
        remoteManagers: [],
      } as unknown as NodeLifecycle,
      clock,
      random,
      version: "0",
    });
  }

  async #serve(): Promise<void> {
    await this.settled(this.#manager!.serve({} as NodeIdentity));
    await this.until("the manager leads", () => this.#manager!.consensus.status().isLeader);
  }

  #watched(disk: Disk): Disk {
    return {
      failed: disk.failed,
      get: (key) => disk.get(key),
      list: (prefix, start) => disk.list(prefix, start),
      close: () => disk.close(),
      commit: async (mutations) => {
        this.#writing++;
        await disk.commit(mutations).finally(() => this.#writing--);
      },
    };
  }
}

function contents(store: Store): unknown {
  return TABLE_NAMES.map((name) => store.all(name));
}

function workerNode(ID: string): Node {
  return {
    ID,
    Version: { Index: 0 },
    CreatedAt: "",
    UpdatedAt: "",
    Spec: { Name: "", Labels: {}, Role: "worker", Availability: "active" },
    Role: "worker",
    Status: { State: "unknown", Addr: "" },
  };
}

const PLAIN_DESCRIPTION = {
  Hostname: "plain",
  Platform: { OS: "linux", Architecture: "arm64" },
  Resources: { NanoCPUs: 4e9, MemoryBytes: 1e9 },
  Engine: { EngineVersion: "1" },
  Runtimes: ["process", "container"],
};

/** A node that says what it is told to, and goes on where it was cut off. */
export class OddNode {
  readonly #leader: Leader;
  readonly id: string;
  #connection: Connection | undefined;
  #sessionID: string | undefined;
  #cancel = new AbortController();

  constructor(leader: Leader, id: string) {
    this.#leader = leader;
    this.id = id;
  }

  /** Opens a session with `Description`, as often as it takes; resolves with why it was refused, if it was. */
  async describe(Description: unknown): Promise<CoveyError | undefined> {
    this.#cancel.abort();
    this.#cancel = new AbortController();
    try {
      this.#connection ??= await this.#leader.settled(this.#leader.dial(this.id));
      const request = { ...(this.#sessionID && { SessionID: this.#sessionID }), Description };
      const { signal } = this.#cancel;
      const stream = this.#connection.serverStream<SessionMessage>(DISPATCHER_METHODS.session, request, {
        signal,
      });
      const messages = stream[Symbol.asyncIterator]();
      const { value } = await this.#leader.settled(messages.next());
      this.#sessionID = value!.SessionID;
      return undefined;
    } catch (thrown) {
      return this.#failed(thrown);
    }
  }

  /** Has a session, and says that it lives. */
  async live(): Promise<void> {
    const heartbeat = async () => {
      const request = { SessionID: this.#sessionID };
      await this.#leader.settled(this.#connection!.call(DISPATCHER_METHODS.heartbeat, request));
    };
    if (this.#sessionID !== undefined) await heartbeat().catch((thrown) => this.#failed(thrown));
    if (this.#sessionID === undefined) await this.describe(PLAIN_DESCRIPTION);
  }

  /** Reports statuses; resolves with why they were refused, if they were. */
  async report(Updates: unknown): Promise<CoveyError | undefined> {
    try {
      this.#connection ??= await this.#leader.settled(this.#leader.dial(this.id));
      const request = { SessionID: this.#sessionID ?? "none", Updates };
      await this.#leader.settled(this.#connection.call(DISPATCHER_METHODS.updateTaskStatus, request));
      return undefined;
    } catch (thrown) {
      return this.#failed(thrown);
    }
  }

  close(): void {
    this.#cancel.abort();
    this.#connection?.close();
    this.#connection = undefined;
    this.#sessionID = undefined;
  }

  #failed(thrown: unknown): CoveyError {
    const error = CoveyError.from(thrown);
    if (error.code === "unavailable") this.close();
    if (error.code === "not_found" || error.code === "aborted") this.#sessionID = undefined;
    return error;
  }
}

/** A node that does what it is asked: it runs its tasks, and stops them. */
export class HonestNode {
  readonly #leader: Leader;
  readonly id: string;
  readonly #ended = new AbortController();
  /** Services whose tasks fail as soon as they run, with the tasks that did. */
  readonly failing = new Map<string, Set<string>>();
  #loop: Promise<void> | undefined;
  #connection: Connection | undefined;

  constructor(leader: Leader, id: string) {
    this.#leader = leader;
    this.id = id;
  }

  start(): void {
    this.#loop = this.#run();
  }

  async stop(): Promise<void> {
    this.#ended.abort();
    this.#connection?.close();
    await this.#leader.settled(this.#loop!);
  }

  async #run(): Promise<void> {
    const { signal } = this.#ended, { clock } = this.#leader;
    while (!signal.aborted) {
      await this.#session().catch(() => {});
      if (!signal.aborted) await new Promise<void>((resolve) => clock.setTimer(1000, resolve));
    }
  }

  async #session(): Promise<void> {
    const { clock } = this.#leader;
    const dialed = await this.#leader.dial(this.id);
    this.#connection = dialed;
    const sessions = dialed.serverStream<SessionMessage>(DISPATCHER_METHODS.session, {
      Description: PLAIN_DESCRIPTION,
    });
    const { value } = await sessions[Symbol.asyncIterator]().next();
    const SessionID = value!.SessionID;
    const stream = dialed.serverStream<AssignmentsMessage>(DISPATCHER_METHODS.assignments, { SessionID });
    let cancel = () => {};
    const beat = async (): Promise<void> => {
      const { PeriodMs } = await dialed.call<HeartbeatResponse>(DISPATCHER_METHODS.heartbeat, { SessionID });
      cancel = clock.setTimer(PeriodMs, () => void beat().catch(() => dialed.close()));
    };
    try {
      await beat();
      for await (const { Changes } of stream) await this.#follow(dialed, SessionID, Changes);
    } finally {
      cancel();
      dialed.close();
    }
  }

  async #follow(
    connection: Connection,
    SessionID: string,
    changes: AssignmentsMessage["Changes"],
  ): Promise<void> {
    const Updates = [];
    for (const change of changes) {
      if (change.Kind !== "task" || change.Action === "remove") continue;
      const { ID, DesiredState, ServiceAnnotations } = change.Task;
      const stops = compareStates(DesiredState, "running") > 0;
      const failed = this.failing.get(ServiceAnnotations.Name);
      const State = stops ? "shutdown" : DesiredState === "running" && failed ? "failed" : DesiredState;
      if (State === "failed") failed!.add(ID);
      Updates.push({ TaskID: ID, Status: { Timestamp: "2026-01-01T00:00:00Z", State, Message: State } });
    }
    if (Updates.length === 0) return;
    await connection.call(DISPATCHER_METHODS.updateTaskStatus, { SessionID, Updates });
  }
}
