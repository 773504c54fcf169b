/** What nodes are told of networks: only of those that they are in, in order, and at the cost of what changed. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { ASSIGNMENT_KINDS, type AssignmentChange } from "../../../api/dispatcher.ts";
import { hasCode } from "../../../api/errors.ts";
import type { Network } from "../../../api/network.ts";
import { type AssignedService, networkServiceID, peerID } from "../../../api/network_assignment.ts";
import type { Node } from "../../../api/node.ts";
import type { Service } from "../../../api/service.ts";
import type { TaskState } from "../../../api/task_state.ts";
import type { Task } from "../../../api/task.ts";
import { isTerminal } from "../../../api/task_state.ts";
import type { Store, WriteTransaction } from "../../../manager/store/store.ts";
import { AssignmentHub } from "../../../manager/dispatcher/assignment_hub.ts";
import { FakeClock, settle } from "../../support/fake_clock.ts";
import { testStore } from "../../support/store.ts";
import { testNode, testTask } from "./harness.ts";

/** Most tests are about who is where, not about who serves. */
const KINDS = ASSIGNMENT_KINDS.filter((kind) => kind !== "network_service");

function network(ID: string, VNI: number, over: Partial<Network> = {}): Network {
  return {
    ID,
    Version: { Index: 0 },
    CreatedAt: "",
    UpdatedAt: "",
    Spec: { Name: `the ${ID}`, Labels: {} },
    VNI,
    Subnets: [{ Subnet: `10.${VNI}.0.0/24`, Gateway: `10.${VNI}.0.1` }],
    ...over,
  };
}

function node(ID: string, last: number, networks: string[] = []): Node {
  const Attachments = networks.map((NetworkID) => ({
    NetworkID,
    Addresses: [`10.${NetworkID.slice(3)}.0.${last + 200}/24`],
  }));
  return {
    ...testNode(ID),
    Status: { State: "ready", Addr: `192.0.2.${last}` },
    ...(networks.length > 0 && { Attachments }),
  };
}

function task(
  ID: string,
  NodeID: string,
  last: number,
  networks: string[],
  change: Partial<Task> = {},
): Task {
  const NetworkAttachments = networks.map((NetworkID) => ({
    NetworkID,
    Addresses: [`10.${NetworkID.slice(3)}.0.${last}/24`],
  }));
  return testTask(ID, NodeID, { NetworkAttachments, ...change });
}

/** The agent of a node, as far as it keeps what it is told. */
class Told {
  readonly log: string[] = [];
  readonly networks = new Map<string, unknown>();
  readonly peers = new Map<string, { NetworkID: string; DataPathAddr: string; Addresses: string[] }>();
  readonly services = new Map<string, AssignedService>();
  readonly tasks = new Map<string, Task>();

  take(changes: readonly AssignmentChange[]): void {
    for (const change of changes) {
      const id = change.Action === "remove"
        ? change.ID
        : change.Kind === "network"
        ? change.Network.ID
        : change.Kind === "network_peer"
        ? peerID(change.Peer)
        : change.Kind === "task"
        ? change.Task.ID
        : change.Kind === "network_service"
        ? networkServiceID(change.Service)
        : change.Payload.ID;
      this.log.push(`${change.Action} ${change.Kind} ${id}`);
      this.#apply(change);
    }
  }

  #apply(change: AssignmentChange): void {
    if (change.Action === "remove") {
      if (change.Kind === "task") this.tasks.delete(change.ID);
      if (change.Kind === "network_peer") assert.ok(this.peers.delete(change.ID), `${change.ID} is no peer`);
      if (change.Kind === "network_service") {
        assert.ok(this.services.delete(change.ID), `${change.ID} is no service`);
      }
      if (change.Kind !== "network") return;
      for (const [id, { NetworkID }] of this.services) if (NetworkID === change.ID) this.services.delete(id);
      assert.ok(this.networks.delete(change.ID), `${change.ID} is no network here`);
      for (const [id, { NetworkID }] of this.peers) if (NetworkID === change.ID) this.peers.delete(id);
    } else if (change.Kind === "task") {
      // One that has ended needs nothing any more.
      const needed = isTerminal(change.Task.Status.State) ? [] : change.Task.NetworkAttachments ?? [];
      for (const { NetworkID } of needed) {
        assert.ok(this.networks.has(NetworkID), `task ${change.Task.ID} came before ${NetworkID}`);
      }
      this.tasks.set(change.Task.ID, change.Task);
    } else if (change.Kind === "network") this.networks.set(change.Network.ID, change.Network);
    else if (change.Kind === "network_peer") {
      assert.ok(this.networks.has(change.Peer.NetworkID), `${peerID(change.Peer)} came before its network`);
      this.peers.set(peerID(change.Peer), change.Peer);
    } else if (change.Kind === "network_service") {
      assert.ok(this.networks.has(change.Service.NetworkID), "a service came before its network");
      this.services.set(networkServiceID(change.Service), change.Service);
    }
  }
}

/** A hub that follows a store, and the agents of some nodes. */
class Hub {
  readonly clock = new FakeClock();
  readonly store: Store;
  readonly hub: AssignmentHub;
  readonly agents = new Map<string, Told>();
  #open: { end(): void; done: Promise<void> }[] = [];
  readonly #unsubscribe: () => void;

  constructor() {
    this.store = testStore({ clock: this.clock }).store;
    this.hub = new AssignmentHub(this.store, this.clock);
    this.hub.start();
    this.#unsubscribe = this.store.subscribe((commit) => this.hub.apply(commit));
  }

  agent(nodeID: string, kinds: readonly string[] = KINDS): Told {
    const told = new Told(), stream = this.hub.open(nodeID, kinds);
    this.agents.set(nodeID, told);
    const done = (async () => {
      try {
        for await (const { Changes } of stream.messages()) told.take(Changes);
      } catch (error) {
        if (!hasCode(error, "aborted")) throw error;
      }
    })();
    this.#open.push({ end: () => stream.end(), done });
    return told;
  }

  /** Has all that waits sent. */
  async sent(): Promise<void> {
    await settle();
    await this.clock.advance(1000);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#unsubscribe();
    for (const { end } of this.#open) end();
    await Promise.all(this.#open.map(({ done }) => done));
  }
}

Deno.test("Network assignments: a network comes before its peers and they before the first task, and goes behind the last", async () => {
  await using hub = new Hub();
  const { store } = hub;
  await store.update((tx) => {
    tx.create("networks", network("net1", 1, { Spec: { Name: "shop", Labels: {}, Internal: true } }));
    tx.create("networks", network("net2", 2));
    tx.create("nodes", node("n1", 1, ["net1"]));
    tx.create("nodes", node("n2", 2, ["net1", "net2"]));
    tx.create("tasks", task("a", "n1", 10, ["net1"]));
    tx.create("tasks", task("b", "n2", 11, ["net1", "net2"]));
    tx.create("tasks", task("waits", "n2", 12, ["net1"], { State: "pending" } as Partial<Task>));
    tx.create("tasks", testTask("plain", "n1"));
  });
  const told = hub.agent("n1");
  await hub.sent();
  assert.deepEqual(told.log, [
    "update network net1",
    "update network_peer net1/n2",
    "update task a",
    "update task plain",
  ]);
  assert.deepEqual(told.networks.get("net1"), {
    ID: "net1",
    Name: "shop",
    VNI: 1,
    DataPathPort: 4789,
    Subnets: [{ Subnet: "10.1.0.0/24", Gateway: "10.1.0.1" }],
    NodeAddress: "10.1.0.201/24",
    Internal: true,
    Ingress: false,
  });
  assert.deepEqual(told.peers.get("net1/n2"), {
    NetworkID: "net1",
    NodeID: "n2",
    DataPathAddr: "192.0.2.2",
    Addresses: ["10.1.0.11", "10.1.0.202"],
  });
  told.log.length = 0;
  await store.update((tx) => {
    tx.update("tasks", { ...tx.get("tasks", "a")!, DesiredState: "shutdown" });
  });
  await hub.sent();
  assert.deepEqual(told.log, ["update task a"], "a task that is stopping is still in its network");
  told.log.length = 0;
  await store.update((tx) => {
    tx.delete("tasks", "a");
    const { Attachments: _, ...rest } = tx.get("nodes", "n1")!;
    tx.update("nodes", rest);
  });
  await hub.sent();
  assert.deepEqual(told.log, ["remove task a", "remove network net1"]);
  assert.equal(told.peers.size, 0);
});

Deno.test("Network assignments: an agent that does not know the kinds is told of tasks alone", async () => {
  await using hub = new Hub();
  await hub.store.update((tx) => {
    tx.create("networks", network("net1", 1));
    for (const id of [1, 2]) tx.create("nodes", node(`n${id}`, id, ["net1"]));
    tx.create("tasks", task("a", "n1", 10, ["net1"]));
  });
  const told = hub.agent("n1", ["task", "secret", "config"]);
  told.networks.set("net1", {});
  await hub.store.update((tx) => tx.create("tasks", task("b", "n2", 11, ["net1"])));
  await hub.sent();
  assert.deepEqual(told.log, ["update task a"]);
});

Deno.test("Network assignments: a node that moves, or is given its address later, is told of where it matters", async () => {
  await using hub = new Hub();
  const { store } = hub;
  await store.update((tx) => {
    tx.create("networks", network("net1", 1));
    tx.create("networks", network("net2", 2));
    for (const id of [1, 2, 3]) tx.create("nodes", node(`n${id}`, id));
    tx.create("tasks", task("a", "n1", 10, ["net1"]));
    tx.create("tasks", task("b", "n2", 11, ["net1"]));
    tx.create("tasks", task("c", "n3", 12, ["net2"]));
  });
  const [n1, n2, n3] = ["n1", "n2", "n3"].map((id) => hub.agent(id)) as [Told, Told, Told];
  await hub.sent();
  for (const told of [n1, n2, n3]) told.log.length = 0;
  await store.update((tx) => {
    const { Attachments } = node("n2", 2, ["net1"]);
    tx.update("nodes", { ...tx.get("nodes", "n2")!, Attachments: Attachments! });
  });
  await hub.sent();
  assert.deepEqual([n1.log, n2.log, n3.log], [["update network_peer net1/n2"], ["update network net1"], []]);
  assert.deepEqual(n1.peers.get("net1/n2")!.Addresses, ["10.1.0.11", "10.1.0.202"]);
  await store.update((tx) => {
    const Status = { State: "ready" as const, Addr: "192.0.2.99" };
    tx.update("nodes", { ...tx.get("nodes", "n2")!, Status });
  });
  await hub.sent();
  assert.deepEqual([n1.peers.get("net1/n2")!.DataPathAddr, n3.log], ["192.0.2.99", []]);
  await store.update((tx) => tx.delete("nodes", "n2"));
  await store.update((tx) => tx.delete("tasks", "b"));
  await hub.sent();
  assert.deepEqual([...n1.peers.keys()], []);
});

Deno.test("Network assignments: who left while nobody here needed the network is not kept where somebody needs it again at once", async () => {
  await using hub = new Hub();
  const { store } = hub;
  await store.update((tx) => {
    tx.create("networks", network("net1", 1));
    for (const id of [1, 2]) tx.create("nodes", node(`n${id}`, id));
    tx.create("tasks", task("a", "n1", 10, ["net1"]));
    tx.create("tasks", task("b", "n2", 11, ["net1"]));
  });
  const told = hub.agent("n1");
  await hub.sent();
  assert.deepEqual([...told.peers.keys()], ["net1/n2"]);
  await store.update((tx) => {
    tx.delete("tasks", "a");
    tx.delete("tasks", "b");
    tx.create("tasks", task("c", "n1", 12, ["net1"]));
  });
  await hub.sent();
  assert.deepEqual([[...told.networks.keys()], [...told.peers.keys()]], [["net1"], []]);
});

Deno.test("Network assignments: 1,000 services with 5,000 tasks on 50 nodes: each node is told of what it runs, a change touches those concerned", async () => {
  await using hub = new Hub();
  const { store } = hub, SERVICES = 1000, NODES = 50, COPIES = 5;
  const nodesOf = (service: number) =>
    Array.from({ length: COPIES }, (_, copy) => (service * 7 + copy * 11) % NODES);
  const id = (service: number) => `net${service}`;
  const at = (service: number, copy: number) => `10.${service >> 8}.${service & 255}.${copy + 2}/24`;
  const place = (service: number, copy: number, name: string) =>
    testTask(name, `n${nodesOf(service)[copy]}`, {
      NetworkAttachments: [{ NetworkID: id(service), Addresses: [at(service, copy)] }],
    });
  await store.update((tx) => {
    for (let each = 0; each < NODES; each++) tx.create("nodes", node(`n${each}`, each + 1));
  });
  await store.batch(Array.from({ length: SERVICES }, (_, each) => each), (tx, service) => {
    tx.create("networks", network(id(service), 4096 + service));
    for (let copy = 0; copy < COPIES; copy++) tx.create("tasks", place(service, copy, `t${service}.${copy}`));
  });
  for (let each = 0; each < NODES; each++) hub.agent(`n${each}`);
  await hub.sent();
  for (const [name, told] of hub.agents) {
    const here = Array.from({ length: SERVICES }, (_, each) => each)
      .filter((service) => nodesOf(service).some((each) => `n${each}` === name));
    assert.equal(told.networks.size, new Set(here).size);
    assert.equal(told.peers.size, here.length * (COPIES - 1));
    told.log.length = 0;
  }
  await store.update((tx) => {
    tx.delete("tasks", "t42.0");
    tx.create("tasks", place(42, 0, "t42.0b"));
  });
  await hub.sent();
  const touched = [...hub.agents].filter(([, { log }]) => log.length > 0).map(([name]) => name).sort();
  assert.deepEqual(touched, nodesOf(42).map((each) => `n${each}`).sort());
  const peer = `update network_peer net42/n${nodesOf(42)[0]}`;
  for (const other of nodesOf(42).slice(1)) assert.deepEqual(hub.agents.get(`n${other}`)!.log, [peer]);
});

/** The service of all tasks, with an address in some networks. */
function service(networks: string[]): Service {
  const { ID: _, ...meta } = network("", 0);
  const VirtualIPs = networks.map((NetworkID) => ({ NetworkID, Addr: `10.${NetworkID.slice(3)}.0.250/24` }));
  return {
    ID: "service",
    Version: meta.Version,
    CreatedAt: "",
    UpdatedAt: "",
    Spec: {
      Name: "web",
      Labels: {},
      TaskTemplate: { ProcessSpec: { Command: "sleep" }, ForceUpdate: 0, Runtime: "process" },
      Mode: { Replicated: { Replicas: 1 } },
    },
    SpecVersion: { Index: 1 },
    ...(networks.length > 0 && { Endpoint: { Spec: {}, VirtualIPs } }),
  };
}

Deno.test("Network assignments: the nodes of a network are told who serves there, and that it stops before its task is", async () => {
  await using hub = new Hub();
  await hub.store.update((tx) => {
    tx.create("networks", network("net1", 1));
    for (const id of [1, 2, 3]) tx.create("nodes", node(`n${id}`, id));
    tx.create("services", service(["net1"]));
    tx.create("tasks", task("a", "n1", 10, ["net1"]));
    tx.create("tasks", task("b", "n2", 11, ["net1"]));
  });
  const agents = [1, 2, 3].map((id) => hub.agent(`n${id}`, ASSIGNMENT_KINDS));
  await hub.sent();
  const [n1, n2, n3] = agents as [Told, Told, Told];
  const serving = () => n2.services.get("net1/service")!.Backends.map(({ TaskID }) => TaskID);
  assert.deepEqual([n2.services.get("net1/service")!.VirtualIP, serving()], ["10.1.0.250", []]);
  const set = async (id: string, State: TaskState, DesiredState: TaskState = "running") => {
    for (const each of agents) each.log.splice(0);
    await hub.store.update((tx) => {
      const known = tx.get("tasks", id)!;
      tx.update("tasks", { ...known, Status: { ...known.Status, State }, DesiredState });
    });
    await hub.sent();
  };
  await set("a", "starting");
  assert.deepEqual(agents.map(({ log }) => log), [[], [], []]);
  await set("a", "running");
  assert.deepEqual(n2.log, ["update network_service net1/service"]);
  await set("b", "running");
  assert.deepEqual(serving(), ["a", "b"]);
  await set("a", "running", "shutdown");
  assert.deepEqual(n1.log, ["update network_service net1/service", "update task a"]);
  assert.deepEqual([serving(), n3.log], [["b"], []]);
  await hub.store.update((tx) => tx.delete("services", "service"));
  await hub.sent();
  assert.equal(n2.services.size, 0);
});

Deno.test("Network assignments: nobody is sent to what a node that is down has, and again once it is back", async () => {
  await using hub = new Hub();
  await hub.store.update((tx) => {
    tx.create("networks", network("net1", 1));
    for (const id of [1, 2]) tx.create("nodes", node(`n${id}`, id));
    tx.create("services", service(["net1"]));
    tx.create(
      "tasks",
      task("a", "n1", 10, ["net1"], {
        Status: { Timestamp: "", State: "running", Message: "" },
      }),
    );
    tx.create(
      "tasks",
      task("b", "n2", 11, ["net1"], {
        Status: { Timestamp: "", State: "running", Message: "" },
      }),
    );
  });
  const told = hub.agent("n1", ASSIGNMENT_KINDS);
  const serving = () => told.services.get("net1/service")!.Backends.map(({ TaskID }) => TaskID);
  await hub.sent();
  assert.deepEqual(serving(), ["a", "b"]);
  for (
    const [State, expected] of [["down", ["a"]], ["ready", ["a", "b"]], ["unknown", ["a", "b"]]] as const
  ) {
    told.log.length = 0;
    await hub.store.update((tx) => {
      tx.update("nodes", { ...tx.get("nodes", "n2")!, Status: { State, Addr: "192.0.2.2" } });
    });
    await hub.sent();
    assert.deepEqual(serving(), expected, State);
    assert.deepEqual(told.log, State === "unknown" ? [] : ["update network_service net1/service"]);
  }
});

type Step =
  | { what: "task"; id: number; node: number; nets: string[] }
  | { what: "end"; id: number }
  | { what: "run"; id: number; stops: boolean }
  | { what: "service"; nets: string[] }
  | { what: "state"; node: number; isDown: boolean }
  | { what: "node"; node: number; nets: string[] };

function play(tx: WriteTransaction, step: Step): void {
  if (step.what === "node") {
    const { Attachments: _, ...rest } = tx.get("nodes", `n${step.node}`)!;
    const { Attachments } = node(`n${step.node}`, step.node + 1, step.nets);
    return tx.update("nodes", { ...rest, ...(Attachments && { Attachments }) });
  }
  if (step.what === "state") {
    const known = tx.get("nodes", `n${step.node}`)!;
    return tx.update("nodes", {
      ...known,
      Status: { ...known.Status, State: step.isDown ? "down" : "ready" },
    });
  }
  if (step.what === "service") {
    const known = tx.get("services", "service"), next = service(step.nets);
    if (known === undefined) return tx.create("services", next);
    return step.nets.length === 0
      ? tx.delete("services", "service")
      : tx.update("services", { ...next, Version: known.Version });
  }
  const known = tx.get("tasks", `t${step.id}`);
  if (step.what === "run") {
    if (known === undefined) return;
    const Status = { ...known.Status, State: "running" as const };
    return tx.update("tasks", { ...known, Status, DesiredState: step.stops ? "shutdown" : "running" });
  }
  if (step.what === "end") return void (known && tx.delete("tasks", known.ID));
  if (known === undefined) {
    return tx.create("tasks", task(`t${step.id}`, `n${step.node}`, step.id + 10, step.nets));
  }
  tx.update("tasks", { ...known, Status: { ...known.Status, State: "failed" } });
}

Deno.test("Network assignments: after any history every agent knows what a new one would be told", async () => {
  const nets = fc.subarray(["net1", "net2"]), id = fc.nat(5), at = fc.nat(2);
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({ what: fc.constant("task" as const), id, node: at, nets }),
    fc.record({ what: fc.constant("end" as const), id }),
    fc.record({ what: fc.constant("run" as const), id, stops: fc.boolean() }),
    fc.record({ what: fc.constant("service" as const), nets }),
    fc.record({ what: fc.constant("state" as const), node: at, isDown: fc.boolean() }),
    fc.record({ what: fc.constant("node" as const), node: at, nets }),
  );
  const history = fc.array(fc.array(step, { minLength: 1, maxLength: 6 }), { maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(history, async (commits) => {
      await using hub = new Hub();
      const { store } = hub;
      await store.update((tx) => {
        for (const id of [1, 2]) tx.create("networks", network(`net${id}`, id));
        for (const id of [0, 1, 2]) tx.create("nodes", node(`n${id}`, id + 1));
      });
      for (const id of [0, 1, 2]) hub.agent(`n${id}`, ASSIGNMENT_KINDS);
      for (const steps of commits) {
        await store.update((tx) => {
          for (const each of steps) play(tx, each);
        });
        await hub.sent();
      }
      const before = new Map(hub.agents);
      for (const [name, told] of before) {
        const fresh = hub.agent(name, ASSIGNMENT_KINDS);
        await hub.sent();
        assert.deepEqual(new Map([...told.networks].sort()), new Map([...fresh.networks].sort()), name);
        assert.deepEqual(new Map([...told.peers].sort()), new Map([...fresh.peers].sort()), name);
        assert.deepEqual(new Map([...told.services].sort()), new Map([...fresh.services].sort()), name);
      }
    }),
    { numRuns: 50 },
  );
});
