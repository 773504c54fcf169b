/** A manager's leader components over the real store in virtual time, with fake agents behind it. */
import { timestamp } from "../../../api/clock.ts";
import type { Cluster } from "../../../api/cluster.ts";
import type { Node } from "../../../api/node.ts";
import { newID, type Random } from "../../../api/random.ts";
import type { Service, ServiceMode, ServiceSpec, TaskSpec } from "../../../api/service.ts";
import type { Task } from "../../../api/task.ts";
import { isTerminal } from "../../../api/task_state.ts";
import { Allocator } from "../../../manager/allocator/mod.ts";
import {
  ConstraintEnforcer,
  GlobalJobOrchestrator,
  GlobalOrchestrator,
  ReplicatedJobOrchestrator,
  ReplicatedOrchestrator,
  TaskReaper,
} from "../../../manager/orchestrator/mod.ts";
import { Scheduler } from "../../../manager/scheduler/mod.ts";
import type { ComponentOptions } from "../../../manager/leader/commit_loop.ts";
import type { Store } from "../../../manager/store/store.ts";
import { FakeAgents, type Fate } from "../../support/fake_agent.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { type MemoryConsensus, testStore } from "../../support/store.ts";

/** Repeatable randomness. */
export function seededRandom(seed = 1): Random {
  let state = seed;
  const float = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return { float, bytes: (length) => Uint8Array.from({ length }, () => Math.floor(float() * 256)) };
}

const META = { Version: { Index: 0 }, CreatedAt: "", UpdatedAt: "" };

export interface NodeOptions {
  labels?: Record<string, string>;
  availability?: Node["Spec"]["Availability"];
  state?: Node["Status"]["State"];
  resources?: NonNullable<Node["Description"]>["Resources"];
  runtimes?: string[];
  platform?: { OS: string; Architecture: string };
  /** Its agent swaps tasks by itself. */
  swaps?: boolean;
}

export function makeNode(id: string, options: NodeOptions = {}): Node {
  return {
    ...META,
    ID: id,
    Spec: {
      Name: "",
      Labels: options.labels ?? {},
      Role: "worker",
      Availability: options.availability ?? "active",
    },
    Role: "worker",
    Description: {
      Hostname: id,
      Platform: options.platform ?? { OS: "linux", Architecture: "x86_64" },
      Resources: options.resources ?? { NanoCPUs: 4e9, MemoryBytes: 8e9 },
      Engine: { EngineVersion: "0" },
      Runtimes: options.runtimes ?? ["process"],
      ...(options.swaps && { Swaps: true }),
    },
    Status: { State: options.state ?? "ready", Addr: "10.0.0.1" },
  };
}

export interface ServiceOptions extends Omit<Partial<ServiceSpec>, "TaskTemplate"> {
  template?: Partial<TaskSpec>;
}

export function makeService(name: string, mode: ServiceMode, options: ServiceOptions = {}): Service {
  const { template, ...spec } = options;
  const TaskTemplate = { ProcessSpec: { Command: "run" }, ForceUpdate: 0, Runtime: "process", ...template };
  return {
    ...META,
    ID: `${name}-id`,
    Spec: { Name: name, Labels: {}, Mode: mode, TaskTemplate, ...spec },
    SpecVersion: { Index: 0 },
  };
}

export function makeCluster(historyLimit: number): Cluster {
  return {
    ...META,
    ID: "cluster-id",
    Spec: {
      Name: "default",
      Labels: {},
      Orchestration: { TaskHistoryRetentionLimit: historyLimit },
      Raft: {
        SnapshotInterval: 1,
        KeepOldSnapshots: 0,
        LogEntriesForSlowFollowers: 1,
        ElectionTick: 10,
        HeartbeatTick: 1,
      },
      Dispatcher: { HeartbeatPeriod: 5e9 },
      CAConfig: { NodeCertExpiry: 1 },
      TaskDefaults: {},
      EncryptionConfig: { AutoLockManagers: false },
    },
    RootCA: { CACert: "", CAKey: "", JoinTokens: { Worker: "", Manager: "" } },
    BlacklistedCertificates: {},
  };
}

interface Component {
  start(): void;
  stop(): Promise<void>;
}

/** A leader and its fleet. Dispose of it with `await using`. */
export class Fleet implements AsyncDisposable {
  readonly clock = new FakeClock();
  readonly random = seededRandom();
  readonly store: Store;
  readonly consensus: MemoryConsensus;
  readonly agents: FakeAgents;
  /** Nodes of which nothing is heard for now, and since when; all others are heard of at any time. */
  readonly silentSince: Map<string, number> = new Map();
  #components: Component[] = [];

  constructor(fate?: Fate) {
    const { store, consensus } = testStore({ clock: this.clock });
    this.store = store;
    this.consensus = consensus;
    this.agents = new FakeAgents(store, fate, () => timestamp(this.clock));
  }

  /** A fleet with ready nodes of these names and a leader that works. */
  static async of(nodes: string[], fate?: Fate): Promise<Fleet> {
    const fleet = new Fleet(fate);
    for (const id of nodes) await fleet.node(id);
    fleet.lead();
    await fleet.clock.advance(0);
    return fleet;
  }

  /** Starts a new leader's components, as after an election; what they write goes through `store`. */
  lead(store = this.store, allocator = (options: ComponentOptions) => new Allocator(options)): void {
    const heard = (nodeID: string) => this.silentSince.get(nodeID) ?? this.clock.monotonic();
    const options = { store, clock: this.clock, random: this.random, heard };
    this.#components = [
      new ReplicatedOrchestrator(options),
      new GlobalOrchestrator(options),
      new ReplicatedJobOrchestrator(options),
      new GlobalJobOrchestrator(options),
      new TaskReaper(options),
      new ConstraintEnforcer(options),
      allocator(options),
      new Scheduler(options),
    ];
    for (const component of this.#components) component.start();
  }

  async stepDown(): Promise<void> {
    await Promise.all(this.#components.map((component) => component.stop()));
    this.#components = [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stepDown();
    await this.agents.stop();
  }

  async node(id: string, options: NodeOptions = {}): Promise<void> {
    await this.store.update((tx) => tx.create("nodes", makeNode(id, options)));
  }

  async setNode(id: string, change: (node: Node) => Node): Promise<void> {
    await this.store.update((tx) => tx.update("nodes", change(tx.get("nodes", id)!)));
    await this.clock.advance(0);
  }

  /** Loses or finds a node. */
  async state(id: string, state: Node["Status"]["State"]): Promise<void> {
    if (state !== "ready") this.agents.offline.add(id);
    await this.setNode(id, (node) => ({ ...node, Status: { ...node.Status, State: state } }));
    if (state !== "ready") return;
    this.agents.offline.delete(id);
    this.agents.kick();
    await this.clock.advance(0);
  }

  availability(id: string, availability: Node["Spec"]["Availability"]): Promise<void> {
    return this.setNode(id, (node) => ({ ...node, Spec: { ...node.Spec, Availability: availability } }));
  }

  /** Removes a node as the control API does: its tasks become orphaned. */
  async removeNode(id: string): Promise<void> {
    this.agents.offline.add(id);
    await this.store.update((tx) => {
      tx.delete("nodes", id);
      for (const task of tx.find("tasks", "nodeID", id)) {
        if (isTerminal(task.Status.State)) continue;
        tx.update("tasks", { ...task, Status: { ...task.Status, State: "orphaned" } });
      }
    });
    await this.clock.advance(0);
  }

  async replicated(name: string, replicas: number, options: ServiceOptions = {}): Promise<string> {
    return await this.create(makeService(name, { Replicated: { Replicas: replicas } }, options));
  }

  async global(name: string, options: ServiceOptions = {}): Promise<string> {
    return await this.create(makeService(name, { Global: {} }, options));
  }

  async job(name: string, mode: ServiceMode, options: ServiceOptions = {}): Promise<string> {
    const JobStatus = { JobIteration: { Index: 0 }, LastExecution: "" };
    return await this.create({ ...makeService(name, mode, options), JobStatus });
  }

  async create(service: Service): Promise<string> {
    await this.store.update((tx) => tx.create("services", service));
    await this.clock.advance(200);
    return service.ID;
  }

  /** A user's update of a service's spec; a job runs again. */
  async update(id: string, change: (spec: ServiceSpec) => ServiceSpec): Promise<void> {
    await this.store.update((tx) => {
      const { UpdateStatus: _, ...service } = tx.get("services", id)!;
      const run = service.JobStatus && { JobIteration: { Index: service.JobStatus.JobIteration.Index + 1 } };
      tx.update("services", {
        ...service,
        ...(run && { JobStatus: { ...run, LastExecution: "" } }),
        Spec: change(service.Spec),
        PreviousSpec: service.Spec,
        SpecVersion: service.Version,
        PreviousSpecVersion: service.SpecVersion,
      });
    });
    await this.clock.advance(0);
  }

  scale(id: string, replicas: number): Promise<void> {
    return this.update(id, (spec) => ({ ...spec, Mode: { Replicated: { Replicas: replicas } } }));
  }

  template(id: string, change: Partial<TaskSpec>): Promise<void> {
    return this.update(id, (spec) => ({ ...spec, TaskTemplate: { ...spec.TaskTemplate, ...change } }));
  }

  /** New version of the program: every task is outdated. */
  release(id: string, version: string): Promise<void> {
    return this.template(id, { ProcessSpec: { Command: "run", Args: [version] } });
  }

  service(id: string): Service {
    return this.store.get("services", id)!;
  }

  all(serviceID: string): Task[] {
    return this.store.find("tasks", "serviceID", serviceID);
  }

  /** Tasks that are wanted. */
  wanted(serviceID: string): Task[] {
    return this.all(serviceID).filter((task) =>
      task.DesiredState === "ready" || task.DesiredState === "running"
    );
  }

  /** Tasks that are wanted and run. */
  running(serviceID: string): Task[] {
    return this.wanted(serviceID).filter((task) => task.Status.State === "running");
  }

  slots(serviceID: string): number[] {
    return this.running(serviceID).map((task) => task.Slot!).sort((a, b) => a - b);
  }

  /** Running tasks by version of the program (`""` before the first release). */
  versions(serviceID: string): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const task of this.running(serviceID)) {
      const version = versionOf(task);
      counts[version] = (counts[version] ?? 0) + 1;
    }
    return counts;
  }

  /** Wanted running tasks by node. */
  placement(serviceID: string): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { NodeID } of this.running(serviceID)) counts[NodeID] = (counts[NodeID] ?? 0) + 1;
    return counts;
  }

  id(): string {
    return newID(this.random);
  }
}

/** The version given to `release` that a task was made from. */
export function versionOf(task: Task): string {
  return task.Spec.ProcessSpec?.Args?.[0] ?? "";
}
