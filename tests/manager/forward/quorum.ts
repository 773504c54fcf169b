/** Three managers over the in-memory network: everything a running manager has, on a consensus that the test steers. */
import type { Clock } from "../../../api/clock.ts";
import { CAServer } from "../../../manager/ca/mod.ts";
import { StoreCABackend } from "../../../manager/ca/store_backend.ts";
import { LogBroker, StreamBroker } from "../../../manager/broker/mod.ts";
import { openTaskStream } from "../../../manager/control/streams.ts";
import { Dispatcher } from "../../../manager/dispatcher/mod.ts";
import { type ControlAPI, controlAPI } from "../../../manager/http/mod.ts";
import type { ManagerHandle, NodeLifecycle } from "../../../manager/http/lifecycle.ts";
import { firstNode, newCluster } from "../../../manager/cluster/new_cluster.ts";
import { Routing } from "../../../manager/forward/mod.ts";
import { createStore, type Store } from "../../../manager/store/mod.ts";
import {
  type Connection,
  createRouter,
  type Listener,
  type MemoryNetwork,
  memoryNetwork,
  type Method,
  type PeerIdentity,
  type Router,
} from "../../../transport/mod.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { identityOf } from "../../support/transport.ts";
import { testNode } from "../dispatcher/harness.ts";
import { request, testRandom } from "../http/fake_node.ts";
import { FakeGroup } from "./fake_group.ts";

/** Node IDs of the managers. */
export const MANAGERS = ["m1", "m2", "m3"];

/** One manager. */
export interface TestManager {
  id: string;
  address: string;
  store: Store;
  api: ControlAPI;
  router: Router;
  listener: Listener;
  /** A request of the control API, JSON in and out. */
  // deno-lint-ignore no-explicit-any
  call(method: string, path: string, body?: unknown): Promise<{ status: number; json: any }>;
  /** Ends everything at once. */
  stop(): Promise<void>;
}

/** What a test of several managers works with. */
export interface Quorum {
  clock: FakeClock;
  network: MemoryNetwork;
  group: FakeGroup;
  managers: Record<string, TestManager>;
  /** Connects `identity` to a manager; host and node have the same name. */
  dial(manager: string, identity: PeerIdentity | undefined): Promise<Connection>;
}

/** Runs `test` with a cluster that m1 leads, which knows workers w1 and w2; closes everything, and fails if a timer is left. */
export async function withQuorum(test: (quorum: Quorum) => Promise<void>): Promise<void> {
  const clock = new FakeClock(), network = memoryNetwork();
  const group = new FakeGroup(Object.fromEntries(MANAGERS.map((id) => [id, `${id}:2377`])), "m1");
  const managers: Record<string, TestManager> = {};
  for (const id of MANAGERS) managers[id] = await testManager(id, { clock, network, group });
  const cluster = await newCluster("cluster1", {}, { clock, random: testRandom });
  await managers.m1!.store.update((tx) => {
    tx.create("clusters", cluster);
    for (const id of MANAGERS) tx.create("nodes", firstNode(id, "active"));
    for (const id of ["w1", "w2"]) tx.create("nodes", testNode(id));
  });
  const connections: Connection[] = [];
  const dial = async (manager: string, identity: PeerIdentity | undefined) => {
    const host = identity?.nodeID ?? "stranger";
    const dialer = network.dialer({ host, identity: () => identity, clock });
    const connection = await dialer.dial(managers[manager]!.address);
    connections.push(connection);
    return connection;
  };
  try {
    await test({ clock, network, group, managers, dial });
  } finally {
    group.beforeCommit = undefined;
    for (const connection of connections) connection.close();
    for (const manager of Object.values(managers)) await manager.stop();
    await clock.advance(5_000);
  }
  if (clock.pending > 0) throw new Error(`${clock.pending} timers are left`);
}

async function testManager(
  id: string,
  { clock, network, group }: Pick<Quorum, "clock" | "network" | "group">,
): Promise<TestManager> {
  const consensus = group.consensus[id]!;
  const store = createStore(consensus, clock, { freeze: true });
  await consensus.start(store);
  const address = `${id}:2377`, identity = identityOf(id, "swarm-manager");
  const routing = new Routing({
    consensus,
    nodeID: id,
    clock,
    dialer: network.dialer({ host: id, identity: () => identity, clock }),
    answer: (request, caller) => api.answer(request, caller),
    openTaskStream: (...what) => openTaskStream({ view: store, streams }, ...what),
  });
  const dispatcher = new Dispatcher({
    store,
    clock,
    random: testRandom,
    managers: () =>
      group.members.map(({ nodeID, address }) => ({ NodeID: nodeID, Addr: address, Weight: 10 })),
    rootCA: () => "ROOT",
  });
  const streams = new StreamBroker({ asks: dispatcher.asks, clock, random: testRandom });
  const handle: ManagerHandle = {
    store,
    consensus,
    nodeID: id,
    advertiseAddr: address,
    forward: (request, here) => routing.forward(request, here),
    metrics: (nodeID) => dispatcher.metrics(nodeID),
    streams,
    openStream: (...what) => routing.openStream(...what),
    logs: new LogBroker({ store, asks: dispatcher.asks, clock, random: testRandom }),
  };
  const api = controlAPI({ lifecycle: activeNode(handle), clock, random: testRandom, version: "0.1.0" });
  const ca = new CAServer({
    backend: new StoreCABackend(store),
    clock,
    random: testRandom,
    leader: routing.caLeader,
  });
  const router = createRouter();
  for (const { name, ...method } of ca.methods()) router.register(name, method as Method);
  for (const [name, method] of Object.entries(routing.methods(dispatcher.methods()))) {
    router.register(name, method);
  }
  const listener = await listen(network, clock, address, identity, router);
  const lead = () => consensus.status().isLeader ? void dispatcher.start() : dispatcher.stop();
  const unsubscribe = consensus.subscribe(lead);
  lead();
  let stopped = false;
  return {
    id,
    address,
    store,
    api,
    router,
    listener,
    call: (method, path, body) => callAPI(api, method, path, body),
    async stop() {
      if (stopped) return;
      stopped = true;
      unsubscribe();
      routing.close();
      dispatcher.stop();
      api.close();
      network.resetHost(id);
      await listener.close();
    },
  };
}

function listen(
  network: MemoryNetwork,
  clock: Clock,
  address: string,
  identity: PeerIdentity,
  router: Router,
): Promise<Listener> {
  return network.listen({ listen: address, identity: () => identity, router, clock });
}

async function callAPI(api: ControlAPI, method: string, path: string, body: unknown) {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const response = await request(api, path, { method, ...(text !== undefined && { body: text }) });
  const answer = await response.text();
  return { status: response.status, json: answer === "" ? undefined : JSON.parse(answer) };
}

/** A node that is in the swarm and stays there. */
function activeNode(manager: ManagerHandle): NodeLifecycle {
  const refuse = () => Promise.reject(new Error("not part of this test"));
  return {
    state: "active",
    error: "",
    nodeID: manager.nodeID,
    nodeAddr: manager.nodeID,
    hasAgent: false,
    remoteManagers: [],
    manager,
    init: refuse,
    join: refuse,
    restore: refuse,
    unlock: refuse,
    leave: refuse,
  };
}
