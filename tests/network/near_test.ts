import assert from "node:assert/strict";
import type { AssignedService } from "../../api/network_assignment.ts";
import { changeOf, planNear } from "../../network/near.ts";
import { NodeNetworks } from "../../network/node_networks.ts";
import type { TaskHere } from "../../network/task_spaces.ts";

const service = (NetworkID: string, number: number, ...addresses: string[]): AssignedService => ({
  NetworkID,
  ServiceID: `s${number}`,
  Name: `s${number}`,
  Aliases: [],
  VirtualIP: `10.0.1.${number}`,
  Ports: [],
  Backends: addresses.map((Address) => ({ TaskID: Address, Name: "web.1", NodeID: "n1", Address })),
});

function told(services: AssignedService[], relayed: string[] = []): NodeNetworks {
  const told = new NodeNetworks();
  const common = { DataPathPort: 4789, NodeAddress: "10.0.1.3/24", Internal: false };
  const network = (ID: string, VNI: number, Ingress: boolean) => ({
    ...common,
    ID,
    VNI,
    Name: ID,
    Ingress,
    Subnets: [{ Subnet: `10.0.${VNI}.0/24`, Gateway: `10.0.${VNI}.1` }],
  });
  told.take({
    networks: [network("ingress", 9, true), network("net1", 1, false), network("net2", 2, false)],
    peers: [{ NetworkID: "net1", NodeID: "n2", DataPathAddr: "", Relayed: true, Addresses: relayed }],
    services,
  });
  return told;
}

const task = (number: number, ...networks: string[]): TaskHere => ({
  ID: `task${number}`,
  Spec: { Runtime: "container" },
  NetworkAttachments: networks.map((NetworkID) => ({ NetworkID, Addresses: [`10.0.1.${number}/24`] })),
});

Deno.test("Translation in a task: the services of its own networks, but for those that are relayed and those that nobody serves", () => {
  const services = [
    service("net1", 20, "10.0.1.30"),
    service("net1", 21),
    service("net1", 22, "10.0.1.30", "10.0.1.31"),
    service("net2", 23, "10.0.2.30"),
    service("ingress", 24, "10.0.9.30"),
  ];
  const networks = told(services, ["10.0.1.31"]);
  const planned = planNear(networks, [
    { task: task(5, "ingress", "net1"), pid: 71 },
    { task: task(6, "net2"), pid: 72 },
    { task: task(7, "ingress"), pid: 73 },
    { task: task(8, "net2") },
    { task: task(9, "gone"), pid: 74 },
  ]);
  assert.deepEqual([...planned.values()], [
    ["at:71:10.0.1.5", "vip:10.0.1.20:10.0.1.30"],
    ["at:72:10.0.1.6", "vip:10.0.1.23:10.0.2.30"],
    ["own:task8:10.0.1.8", "vip:10.0.1.23:10.0.2.30"],
  ]);
});

Deno.test("Translation in a task: on a node of many, the first ones alone, and the others not any more", () => {
  const networks = told([service("net1", 20, "10.0.1.30")]);
  const many = Array.from({ length: 100 }, (_, at) => ({ task: task(at, "net1"), pid: at + 1 }));
  const planned = [...planNear(networks, many).values()];
  assert.equal(planned.length, 100, "also those that are to translate nothing");
  assert.ok(planned.slice(0, 32).every((words) => words.length === 2));
  assert.ok(planned.slice(32).every((words) => words.length === 1));
  const wide = told(Array.from({ length: 200 }, (_, at) => service("net1", at, "10.0.1.250")));
  const sizes = [...planNear(wide, many.slice(0, 9)).values()].map((words) => words.length - 1);
  assert.deepEqual(sizes, [200, 200, 200, 200, 200, 0, 0, 0, 0]);
});

Deno.test("Translation in a task: of a change only the service that it is about is loaded, unless there are others than before", () => {
  const at = "at:71:10.0.1.5", a = "vip:10.0.1.20:10.0.1.30", b = "vip:10.0.1.21:10.0.1.31";
  const before = [at, a, b].join(" "), other = "vip:10.0.1.21:10.0.1.31,10.0.1.32";
  assert.deepEqual(changeOf(before, [at, a, other]), [`${at}:part`, other]);
  for (const words of [[at, a], [at, b, a], ["at:72:10.0.1.5", a, b], [at]]) {
    assert.deepEqual(changeOf(before, words), words);
  }
  assert.deepEqual(changeOf(undefined, [at, a]), [at, a]);
});
