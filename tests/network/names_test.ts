import assert from "node:assert/strict";
import type { AssignedNetwork, AssignedService } from "../../api/network_assignment.ts";
import { findAddress, findName, networksOf } from "../../network/names.ts";
import { NodeNetworks } from "../../network/node_networks.ts";

const network = (
  ID: string,
  Name: string,
  subnet: string,
  more: Partial<AssignedNetwork> = {},
): AssignedNetwork => ({
  ID,
  Name,
  VNI: 4097,
  DataPathPort: 4789,
  Subnets: [{ Subnet: `${subnet}.0/24`, Gateway: `${subnet}.1` }],
  Internal: false,
  Ingress: false,
  ...more,
});
const service = (
  NetworkID: string,
  Name: string,
  addresses: string[],
  more: Partial<AssignedService> = {},
): AssignedService => ({
  NetworkID,
  ServiceID: `s-${Name}`,
  Name,
  Aliases: [],
  Ports: [],
  Backends: addresses.map((Address, at) => ({
    TaskID: `t${at}`,
    Name: `${Name}.${at + 1}.t${at}`,
    NodeID: "n1",
    Address,
  })),
  ...more,
});

function told(): NodeNetworks {
  const all = new NodeNetworks();
  all.take({
    networks: [
      network("a", "shop", "10.0.1"),
      network("b", "back", "10.0.2"),
      network("i", "ingress", "10.0.0", { Ingress: true }),
    ],
    peers: [],
    services: [
      service("a", "web", ["10.0.1.5", "10.0.1.6"], { VirtualIP: "10.0.1.2", Aliases: ["front"] }),
      service("b", "web", ["10.0.2.5"], { VirtualIP: "10.0.2.2" }),
      service("b", "db", ["10.0.2.7", "10.0.2.8"], { Aliases: ["store"] }),
      service("b", "cache", ["10.0.2.9"], { Aliases: ["store"] }),
      service("a", "gone", [], { VirtualIP: "10.0.1.3" }),
    ],
  });
  return all;
}
const of = (name: string, ...ids: string[]) => {
  const all = told(), found = findName(all, ids.map((id) => all.networks.get(id)!), name, "n1");
  return found && "addresses" in found ? found.addresses : undefined;
};

Deno.test("Names: a service is found by its address, all its tasks by tasks., and one task by its own name", () => {
  assert.deepEqual(of("web", "a"), ["10.0.1.2"]);
  assert.deepEqual(of("tasks.web", "a"), ["10.0.1.5", "10.0.1.6"]);
  assert.deepEqual(of("web.2.t1", "a"), ["10.0.1.6"]);
  assert.deepEqual(of("front", "a"), ["10.0.1.2"]);
  assert.deepEqual(of("tasks.front", "a"), ["10.0.1.5", "10.0.1.6"]);
});

Deno.test("Names: a service without an address is all that serve; an alias may stand for several", () => {
  assert.deepEqual(of("db", "b"), ["10.0.2.7", "10.0.2.8"]);
  assert.deepEqual(of("store", "b"), ["10.0.2.7", "10.0.2.8", "10.0.2.9"]);
});

Deno.test("Names: the nearest are those on the node itself, else those at its site, else all", () => {
  const backend = (NodeID: string, Address: string) => ({ TaskID: NodeID, Name: NodeID, NodeID, Address });
  const Backends = [backend("n1", "10.0.1.5"), backend("n2", "10.0.1.6"), backend("n3", "10.0.1.7")];
  const peer = (NodeID: string, Site?: string) => ({
    NetworkID: "a",
    NodeID,
    DataPathAddr: "192.0.2.1",
    Addresses: [],
    ...(Site !== undefined && { Site }),
  });
  const find = (nodeID: string, Site?: string, name = "nearest.web") => {
    const all = new NodeNetworks();
    all.take({
      networks: [network("a", "shop", "10.0.1", Site === undefined ? {} : { Site })],
      peers: [peer("n1", "attic"), peer("n2", "attic"), peer("n3")],
      services: [service("a", "web", [], { VirtualIP: "10.0.1.2", Aliases: ["front"], Backends })],
    });
    return findName(all, [...all.networks.values()], name, nodeID);
  };
  assert.deepEqual(find("n2"), { addresses: ["10.0.1.6"] });
  assert.deepEqual(find("n9", "attic"), { addresses: ["10.0.1.5", "10.0.1.6"] });
  assert.deepEqual(find("n9", "attic", "nearest.front.shop"), { addresses: ["10.0.1.5", "10.0.1.6"] });
  assert.deepEqual(find("n9", "cellar"), { addresses: ["10.0.1.5", "10.0.1.6", "10.0.1.7"] });
  assert.deepEqual(
    find("n9"),
    { addresses: ["10.0.1.5", "10.0.1.6", "10.0.1.7"] },
    "n3 stands nowhere either",
  );
  assert.equal(find("n2", "attic", "nearest.nobody"), undefined);
});

Deno.test("Names: the device is found by who has a way out", () => {
  assert.deepEqual(of("host.docker.internal", "a"), ["169.254.77.1"]);
  const closed = network("c", "closed", "10.0.3", { Internal: true });
  assert.equal(findName(told(), [closed], "host.docker.internal", "n1"), undefined);
});

Deno.test("Names: what is in none of one's networks is not known; where several know it, the first one answers", () => {
  assert.equal(of("db", "a"), undefined);
  assert.deepEqual(of("web", "b", "a"), ["10.0.2.2"]);
  assert.deepEqual(of("web.shop", "b", "a"), ["10.0.1.2"]);
  assert.equal(of("web.back", "a"), undefined);
  for (const odd of ["", "tasks.", "tasks", "constructor", "__proto__", ".shop"]) {
    assert.equal(of(odd, "a"), undefined, odd);
  }
});

Deno.test("Names: a service of which nothing serves keeps its address, and has no tasks", () => {
  assert.deepEqual(of("gone", "a"), ["10.0.1.3"]);
  assert.deepEqual(of("tasks.gone", "a"), []);
});

Deno.test("Names: an address is its task's or its service's", () => {
  const all = told(), networks = [all.networks.get("a")!];
  assert.deepEqual(findAddress(all, networks, "10.0.1.2"), { names: ["web.shop"] });
  assert.deepEqual(findAddress(all, networks, "10.0.1.6"), { names: ["web.2.t1.shop"] });
  assert.equal(findAddress(all, networks, "10.0.2.7"), undefined);
});

Deno.test("Names: who asks is in all networks of its task, and never in the ingress network", () => {
  const all = told();
  const task = {
    ID: "t",
    Spec: { Runtime: "container" },
    NetworkAttachments: [
      { NetworkID: "i", Addresses: ["10.0.0.9/24"] },
      { NetworkID: "b", Addresses: ["10.0.2.5/24"] },
      { NetworkID: "a", Addresses: ["10.0.1.5/24"] },
    ],
  };
  const names = (address: string) => networksOf(all, () => [task], address).map(({ Name }) => Name);
  assert.deepEqual(names("10.0.2.5"), ["back", "shop"]);
  assert.deepEqual(names("10.0.1.99"), ["shop"], "unknown, but of this subnet");
  assert.deepEqual(names("10.0.0.77"), []);
  assert.deepEqual(names("192.0.2.1"), []);
  assert.deepEqual(names(""), []);
});
