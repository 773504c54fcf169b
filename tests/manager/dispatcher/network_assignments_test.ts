/** What nodes are told of networks: only of those that they are in, in order, and at the cost of what changed. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { ASSIGNMENT_KINDS } from "../../../api/dispatcher.ts";
import type { TaskState } from "../../../api/task_state.ts";
import type { Task } from "../../../api/task.ts";
import type { WriteTransaction } from "../../../manager/store/store.ts";
import type { AssignedPeer } from "../../../api/network_assignment.ts";
import type { Node } from "../../../api/node.ts";
import { DESCRIPTION, testTask } from "./harness.ts";
import { Hub, network, node, service, task, type Told } from "./network_hub.ts";

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

Deno.test("Network assignments: the largest packet is as the network says, and 0 is the usual", async () => {
  await using hub = new Hub();
  const mtus = { net1: "1300", net2: "0" };
  await hub.store.update((tx) => {
    for (const [id, mtu] of Object.entries(mtus)) {
      const Options = { "com.docker.network.driver.mtu": mtu };
      tx.create("networks", network(id, Number(id.at(-1)), { Spec: { Name: id, Labels: {}, Options } }));
    }
    tx.create("nodes", node("n1", 1, Object.keys(mtus)));
    tx.create("tasks", task("a", "n1", 10, Object.keys(mtus)));
  });
  const told = hub.agent("n1");
  await hub.sent();
  const mtuOf = (id: string) => (told.networks.get(id) as { MTU?: number }).MTU;
  assert.deepEqual(Object.keys(mtus).map(mtuOf), [1300, undefined]);
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
  await store.update((tx) => {
    const known = tx.get("nodes", "n2")!;
    tx.update("nodes", { ...known, Spec: { ...known.Spec, Labels: { site: "attic" } } });
  });
  await hub.sent();
  assert.deepEqual([n1.peers.get("net1/n2")!.Site, n3.log], ["attic", []]);
  assert.equal((n2.networks.get("net1") as { Site?: string }).Site, "attic");
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

Deno.test("Network assignments: nobody is sent to what a node that is down has while there are others, and again once it is back", async () => {
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
  await hub.store.update((tx) => {
    for (const id of ["n1", "n2"]) {
      tx.update("nodes", { ...tx.get("nodes", id)!, Status: { State: "down", Addr: "192.0.2.2" } });
    }
  });
  await hub.sent();
  assert.deepEqual(serving(), ["a", "b"], "better than none");
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

Deno.test("Network assignments: nodes of one site reach each other there, others behind translation by the relay if it is allowed", async () => {
  await using hub = new Hub();
  const behind = (id: string, Addr: string, LocalAddr: string): Node => ({
    ...node(id, Number(id.slice(1)), ["net1", "net2", "net3"]),
    Description: { ...DESCRIPTION, LocalAddr },
    Status: { State: "ready", Addr },
  });
  await hub.store.update((tx) => {
    const Options = { "covey.relay": "on" };
    tx.create("networks", network("net1", 1, { Spec: { Name: "shop", Labels: {}, Options } }));
    tx.create("networks", network("net2", 2));
    tx.create("networks", network("net3", 3, { Spec: { Name: "ingress", Labels: {}, Ingress: true } }));
    tx.create("nodes", behind("n1", "198.51.100.1", "192.168.1.5"));
    tx.create("nodes", behind("n2", "198.51.100.1", "192.168.1.6"));
    tx.create("nodes", behind("n3", "203.0.113.9", "192.168.1.5"));
    tx.create("nodes", behind("n4", "192.0.2.4", "192.0.2.4"));
    for (const id of [1, 2, 3, 4]) tx.create("tasks", task(`t${id}`, `n${id}`, 10 + id, ["net1", "net2"]));
  });
  const ways = async (nodeID: string, network: string) => {
    const told = hub.agent(nodeID);
    await hub.sent();
    const peers = [...told.peers.values()].filter(({ NetworkID }) => NetworkID === network) as AssignedPeer[];
    return peers.map(({ NodeID, DataPathAddr, Relayed }) => `${NodeID} ${Relayed ? "relayed" : DataPathAddr}`)
      .sort();
  };
  assert.deepEqual(await ways("n1", "net1"), ["n2 192.168.1.6", "n3 relayed", "n4 relayed"]);
  assert.deepEqual(await ways("n3", "net1"), ["n1 relayed", "n2 relayed", "n4 relayed"]);
  assert.deepEqual(await ways("n4", "net1"), ["n1 relayed", "n2 relayed", "n3 relayed"]);
  assert.deepEqual(await ways("n1", "net2"), ["n2 192.168.1.6", "n3 203.0.113.9", "n4 192.0.2.4"], "as ever");
  const ports = "a published port goes nowhere else than to who is reached";
  assert.deepEqual(await ways("n1", "net3"), ["n2 192.168.1.6", "n3 relayed", "n4 relayed"], ports);
  // Who was told an address for networks is reached by it, whatever is in between.
  await hub.store.update((tx) => {
    const moved = tx.get("nodes", "n3")!;
    tx.update("nodes", { ...moved, Description: { ...moved.Description!, DataPathAddr: "203.0.113.10" } });
  });
  assert.deepEqual(await ways("n4", "net1"), ["n1 relayed", "n2 relayed", "n3 203.0.113.10"]);
});
