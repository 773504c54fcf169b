/** A node for tests of the control API: real store in memory, life cycle of its own. */
import type { RestoreParameters, RestoreResponse } from "../../../api/backup.ts";
import type { Cluster } from "../../../api/cluster.ts";
import type { Clock } from "../../../api/clock.ts";
import { CoveyError } from "../../../api/errors.ts";
import type { Node } from "../../../api/node.ts";
import type { ShownMetrics } from "../../../api/node_metrics.ts";
import type { Service } from "../../../api/service.ts";
import type { Task } from "../../../api/task.ts";
import type { Random } from "../../../api/random.ts";
import { NO_LEADER, WRONG_UNLOCK_KEY } from "../../../api/docker_texts.ts";
import { ADMINISTRATOR } from "../../../manager/control/caller.ts";
import { LogBroker, StreamBroker } from "../../../manager/broker/mod.ts";
import { AskTable } from "../../../manager/dispatcher/mod.ts";
import { type ControlAPI, controlAPI } from "../../../manager/http/mod.ts";
import type { ManagerHandle, NodeLifecycle } from "../../../manager/http/lifecycle.ts";
import { defaultClusterSpec } from "../../../manager/cluster/new_cluster.ts";
import { createJoinTokens, createRootCA } from "../../../security/mod.ts";
import { type MemoryConsensus, testStore } from "../../support/store.ts";

/** The one manager; `memoryConsensus` has it as its member. */
export const NODE_ID = "node";

let counter = 0;
/** Numbers that never repeat, so IDs are unique and known to be. */
export const testRandom: Random = {
  bytes: (length) => {
    const bytes = new Uint8Array(length);
    new DataView(bytes.buffer).setUint32(length - 4, ++counter);
    return bytes;
  },
  float: () => 0.5,
};

/** Of a leader that no node has a session with. */
function noSessions(): AskTable {
  return new AskTable({ reach: () => "away", touch: () => {}, checkLeading: () => {} });
}

/** A node whose life cycle does what it is told and remembers what it was asked. */
export class FakeNode implements NodeLifecycle {
  state: NodeLifecycle["state"] = "inactive";
  error = "";
  nodeID = "";
  nodeAddr = "";
  hasAgent = false;
  /** Changes what a new swarm begins with. */
  onInit: () => Promise<void> = () => Promise.resolve();
  manager: ManagerHandle | undefined;
  consensus: MemoryConsensus | undefined;
  /** What {@linkcode unlock} takes. */
  unlockKey = "";
  asked: unknown[] = [];
  readonly metrics = new Map<string, ShownMetrics>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get remoteManagers() {
    return this.manager ? [{ NodeID: NODE_ID, Addr: "127.0.0.1:2377" }] : [];
  }

  async init(request: Parameters<NodeLifecycle["init"]>[0]): Promise<string> {
    this.asked.push(request);
    const { store, consensus } = testStore({ clock: this.#clock });
    const root = await createRootCA({ clock: this.#clock, random: testRandom });
    const cluster: Cluster = {
      ...unstamped("cluster"),
      Spec: { ...defaultClusterSpec(), ...request.Spec },
      RootCA: {
        CACert: root.certificatePEM,
        CAKey: root.privateKeyPEM,
        JoinTokens: createJoinTokens(root.certificatePEM, testRandom),
      },
      BlacklistedCertificates: {},
    };
    await store.update((tx) => {
      tx.create("clusters", cluster);
      tx.create("nodes", testNode(NODE_ID, { Role: "manager" }));
    });
    this.consensus = consensus;
    this.manager = {
      store,
      consensus,
      nodeID: NODE_ID,
      advertiseAddr: "127.0.0.1:2377",
      forward: () => Promise.reject(new CoveyError("unavailable", NO_LEADER)),
      metrics: (nodeID) => this.metrics.get(nodeID),
      streams: new StreamBroker({ asks: noSessions(), clock: this.#clock, random: testRandom }),
      openStream: () => Promise.reject(new CoveyError("unavailable", NO_LEADER)),
      logs: new LogBroker({ store, asks: noSessions(), clock: this.#clock, random: testRandom }),
    };
    await this.onInit();
    Object.assign(this, { state: "active", nodeID: NODE_ID, nodeAddr: "127.0.0.1" });
    return NODE_ID;
  }

  join(request: Parameters<NodeLifecycle["join"]>[0]): Promise<void> {
    this.asked.push(request);
    Object.assign(this, { state: "active", nodeID: "worker1", nodeAddr: "127.0.0.1" });
    return Promise.resolve();
  }

  async restore(backup: AsyncIterable<Uint8Array>, request: RestoreParameters): Promise<RestoreResponse> {
    let bytes = 0;
    for await (const chunk of backup) bytes += chunk.length;
    this.asked.push({ bytes, ...request });
    return { NodeID: NODE_ID } as RestoreResponse;
  }

  unlock(key: string): Promise<void> {
    this.asked.push({ key });
    if (key !== this.unlockKey) return Promise.reject(new CoveyError("unauthenticated", WRONG_UNLOCK_KEY));
    this.state = "active";
    return Promise.resolve();
  }

  leave(force: boolean): Promise<void> {
    this.asked.push({ force });
    Object.assign(this, { state: "inactive", nodeID: "", nodeAddr: "", manager: undefined });
    return Promise.resolve();
  }
}

const unstamped = (ID: string) => ({ ID, Version: { Index: 0 }, CreatedAt: "", UpdatedAt: "" });

/** A ready node. */
export function testNode(
  id: string,
  options: { Role?: Node["Role"]; State?: Node["Status"]["State"] } = {},
): Node {
  const { Role = "worker", State = "ready" } = options;
  return {
    ...unstamped(id),
    Spec: { Name: "", Labels: {}, Role, Availability: "active" },
    Role,
    Description: {
      Hostname: `${id}.local`,
      Platform: { OS: "linux", Architecture: "x86_64" },
      Resources: { NanoCPUs: 2_000_000_000, MemoryBytes: 1 << 30 },
      Engine: { EngineVersion: "1.0", Labels: { zone: "a" }, Plugins: [{ Type: "Log", Name: "json-file" }] },
      Runtimes: ["container", "process"],
    },
    Status: { State, Addr: "127.0.0.1" },
  };
}

/** A running task of `service`. */
export function testTask(service: Service, id: string, over: Partial<Task> = {}): Task {
  return {
    ...unstamped(id),
    Spec: service.Spec.TaskTemplate,
    SpecVersion: service.SpecVersion,
    ServiceID: service.ID,
    Slot: 1,
    NodeID: NODE_ID,
    ServiceAnnotations: { Name: service.Spec.Name, Labels: service.Spec.Labels },
    Status: { Timestamp: "2026-01-01T00:00:00.000Z", State: "running", Message: "started" },
    DesiredState: "running",
    ...over,
  };
}

/** Asks as the administrator. */
export async function request(api: ControlAPI, path: string, init?: RequestInit): Promise<Response> {
  return await api.app.request(path, init, { caller: ADMINISTRATOR });
}

/** The control API of a node; `call` sends JSON and returns status and parsed answer. */
export async function testAPI(clock: Clock, options: { init?: boolean; engine?: string } = {}) {
  const node = new FakeNode(clock);
  if (options.init !== false) await node.init({});
  const api = controlAPI({
    lifecycle: node,
    clock,
    random: testRandom,
    version: "0.1.0",
    engine: options.engine,
  });
  const call = async (
    method: string,
    path: string,
    body?: unknown,
    // deno-lint-ignore no-explicit-any
  ): Promise<{ status: number; json: any }> => {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    const response = await request(api, path, { method, ...(text !== undefined && { body: text }) });
    const answer = await response.text();
    return { status: response.status, json: answer === "" ? undefined : JSON.parse(answer) };
  };
  const store = () => node.manager!.store;
  return { node, api, call, store };
}

/** A service body that stock clients would send. */
export function serviceBody(name: string, over: Record<string, unknown> = {}) {
  return {
    Name: name,
    TaskTemplate: { ContainerSpec: { Image: "busybox:local", Args: ["sleep", "1000"] } },
    Mode: { Replicated: { Replicas: 1 } },
    ...over,
  };
}

/** A process service body. */
export function processBody(name: string) {
  return {
    Name: name,
    TaskTemplate: {
      Runtime: "process",
      ProcessSpec: { Command: "/bin/sleep", Args: ["1000"], Env: ["A=b"] },
    },
    Mode: { Global: {} },
  };
}
