/** Addresses and ports from the first task to the last: over the real store, with orchestrators and scheduler around. */
import assert from "node:assert/strict";
import type { Network } from "../../../api/network.ts";
import type { PortConfig } from "../../../api/service.ts";
import { isTerminal } from "../../../api/task_state.ts";
import { Allocator, NetworkVoter } from "../../../manager/allocator/mod.ts";
import type { ComponentOptions } from "../../../manager/leader/commit_loop.ts";
import type { Store } from "../../../manager/store/store.ts";
import { flakyStore } from "../../support/flaky_store.ts";
import { Fleet, makeService, seededRandom } from "../orchestrator/harness.ts";

const withNetworks = (options: ComponentOptions) => new Allocator(options, [new NetworkVoter()]);

async function network(fleet: Fleet, ID: string, Subnet: string, ingress = false): Promise<void> {
  const stored: Network = {
    ID,
    Version: { Index: 0 },
    CreatedAt: "",
    UpdatedAt: "",
    Spec: { Name: `the-${ID}`, Labels: {}, ...(ingress && { Ingress: true as const }) },
    VNI: 4096 + fleet.store.count("networks"),
    Subnets: [{ Subnet, Gateway: Subnet.replace(/\d+\/\d+$/, "1") }],
  };
  await fleet.store.update((tx) => tx.create("networks", stored));
}

async function node(fleet: Fleet, id: string): Promise<void> {
  await fleet.node(id);
  await fleet.setNode(id, (each) => ({
    ...each,
    Description: { ...each.Description!, OverlayRuntimes: ["process"] },
  }));
}

/** Three nodes and the networks `ingress`, `a` and `b`. */
async function mesh(store?: (store: Store) => Store): Promise<Fleet> {
  const fleet = new Fleet();
  for (const id of ["n1", "n2", "n3"]) await node(fleet, id);
  await network(fleet, "ingress", "10.0.0.0/24", true);
  await network(fleet, "a", "10.0.1.0/24");
  await network(fleet, "b", "10.0.2.0/24");
  fleet.lead(store?.(fleet.store), withNetworks);
  await fleet.clock.advance(0);
  return fleet;
}

const on = (...targets: string[]) => ({ template: { Networks: targets.map((Target) => ({ Target })) } });
const ingressPort = (TargetPort: number, PublishedPort?: number): PortConfig => ({
  Protocol: "tcp",
  TargetPort,
  ...(PublishedPort !== undefined && { PublishedPort }),
  PublishMode: "ingress",
});
const publishing = (...Ports: PortConfig[]) => ({ EndpointSpec: { Mode: "vip" as const, Ports } });

/** Every address that somebody has, by whom; throws if one has two holders, or lies outside its network. */
function holdings(store: Store): Map<string, string> {
  const held = new Map<string, string>();
  const note = (network: string, address: string, holder: string) => {
    const key = `${network} ${address}`;
    assert.equal(held.get(key), undefined, `${key} is ${held.get(key)}'s and ${holder}'s`);
    held.set(key, holder);
    const known = store.get("networks", network);
    assert.ok(known, `${holder} is in network ${network}, which is gone`);
    const [prefix] = known.Subnets[0]!.Subnet.match(/^\d+\.\d+\.\d+\./)!;
    assert.ok(address.startsWith(prefix) && address !== `${prefix}1/24`, `${address} of ${network}`);
  };
  for (const { ID, Endpoint } of store.all("services")) {
    for (const { NetworkID, Addr } of Endpoint?.VirtualIPs ?? []) note(NetworkID, Addr, ID);
  }
  for (const { ID, NetworkAttachments = [], Status } of store.all("tasks")) {
    if (isTerminal(Status.State)) continue;
    for (const { NetworkID, Addresses } of NetworkAttachments) note(NetworkID, Addresses[0]!, ID);
  }
  for (const { ID, Attachments = [] } of store.all("nodes")) {
    for (const { NetworkID, Addresses } of Attachments) note(NetworkID, Addresses[0]!, ID);
  }
  return held;
}

Deno.test("Network voter: a service has an address in each network, so have its tasks, and the nodes that they are on", async () => {
  await using fleet = await mesh();
  const web = await fleet.replicated("web", 2, { ...on("a", "b"), ...publishing(ingressPort(80, 8080)) });
  assert.deepEqual(fleet.slots(web), [1, 2]);
  const { Endpoint } = fleet.service(web);
  assert.deepEqual(Endpoint!.VirtualIPs!.map(({ NetworkID }) => NetworkID), ["ingress", "a", "b"]);
  assert.deepEqual(Endpoint!.Ports, [ingressPort(80, 8080)]);
  for (const { NetworkAttachments, NodeID } of fleet.running(web)) {
    assert.deepEqual(NetworkAttachments!.map(({ NetworkID }) => NetworkID), ["ingress", "a", "b"]);
    const { Attachments } = fleet.store.get("nodes", NodeID)!;
    assert.deepEqual(Attachments!.map(({ NetworkID }) => NetworkID), ["a", "b", "ingress"]);
  }
  // Ports are answered by every node, also by one without a task.
  for (const { Attachments } of fleet.store.all("nodes")) {
    assert.ok(Attachments!.some(({ NetworkID }) => NetworkID === "ingress"));
  }
  assert.equal(holdings(fleet.store).size, 3 + 2 * 3 + 3 + 2 * 2);
  await fleet.store.update((tx) => tx.delete("services", web));
  await fleet.clock.advance(60_000);
  assert.deepEqual(holdings(fleet.store), new Map(), "everything is free again");
});

Deno.test("Network voter: a node gets its address also for a task that was made for it before it had its own", async () => {
  await using fleet = await mesh();
  const id = await fleet.global("probe", on("a"));
  await fleet.clock.advance(1000);
  assert.equal(fleet.running(id).length, 3);
  for (const { Attachments = [] } of fleet.store.all("nodes")) {
    assert.deepEqual(Attachments.map(({ NetworkID }) => NetworkID), ["a"]);
  }
});

Deno.test("Network voter: round robin has no address of a service, and what needs nothing is given nothing", async () => {
  await using fleet = await mesh();
  const rr = await fleet.replicated("rr", 1, { ...on("a"), EndpointSpec: { Mode: "dnsrr" } });
  const plain = await fleet.replicated("plain", 1);
  const own = await fleet.replicated("own", 1, on("host"));
  assert.deepEqual(fleet.service(rr).Endpoint, { Spec: { Mode: "dnsrr" } });
  assert.equal(fleet.running(rr)[0]!.NetworkAttachments!.length, 1);
  for (const id of [plain, own]) {
    assert.equal(fleet.service(id).Endpoint, undefined);
    assert.equal(fleet.running(id)[0]!.NetworkAttachments, undefined);
  }
  // The other way to be found: it gets an address now, and loses it again.
  const mode = (Mode: "vip" | "dnsrr") => fleet.update(rr, (spec) => ({ ...spec, EndpointSpec: { Mode } }));
  await mode("vip");
  assert.equal(fleet.service(rr).Endpoint!.VirtualIPs!.length, 1);
  await mode("dnsrr");
  assert.equal(fleet.service(rr).Endpoint!.VirtualIPs, undefined);
  await fleet.template(rr, { Networks: [] });
  await fleet.clock.advance(60_000);
  assert.equal(fleet.service(rr).Endpoint, undefined);
  assert.deepEqual(holdings(fleet.store), new Map());
});

Deno.test("Network voter: ports left open get numbers of 30000 to 32767, each protocol its own, and keep them (74)", async () => {
  await using fleet = await mesh();
  const numbers = (id: string) =>
    fleet.service(id).Endpoint!.Ports!.map(({ PublishedPort }) => PublishedPort);
  const udp: PortConfig = { ...ingressPort(53), Protocol: "udp" };
  const web = await fleet.replicated("web", 1, publishing(ingressPort(80), ingressPort(81), udp));
  assert.deepEqual(numbers(web), [30_000, 30_001, 30_000]);
  const other = await fleet.replicated("other", 1, publishing(ingressPort(80, 30_002), ingressPort(81)));
  assert.deepEqual(numbers(other), [30_002, 30_003]);
  const asks = (...Ports: PortConfig[]) =>
    fleet.update(web, (spec) => ({ ...spec, ...publishing(...Ports) }));
  await asks(ingressPort(90), ingressPort(81), udp);
  assert.deepEqual(numbers(web), [30_004, 30_001, 30_000], "the others keep theirs");
  await asks(ingressPort(90, 9000), ingressPort(81));
  assert.deepEqual(numbers(web), [9000, 30_001]);
  const host: PortConfig = { ...ingressPort(80), PublishMode: "host" };
  await asks(host, ingressPort(81));
  assert.deepEqual(fleet.service(web).Endpoint!.Ports, [host, ingressPort(81, 30_001)]);
  assert.deepEqual(numbers(await fleet.replicated("third", 1, publishing(ingressPort(80)))), [30_000]);
});

Deno.test("Network voter: tasks are made anew where the mesh begins or ends for them, not where only a number changes", async () => {
  await using fleet = await mesh();
  const web = await fleet.replicated("web", 1, publishing(ingressPort(80, 8080)));
  const first = fleet.running(web)[0]!.ID;
  await fleet.update(web, (spec) => ({ ...spec, ...publishing(ingressPort(80, 8081)) }));
  await fleet.clock.advance(60_000);
  assert.equal(fleet.service(web).Endpoint!.Ports![0]!.PublishedPort, 8081);
  assert.equal(fleet.wanted(web)[0]!.ID, first);
});

Deno.test("Network voter: a port that another has keeps the tasks new, with the reason, until it is freed (75)", async () => {
  await using fleet = await mesh();
  const first = await fleet.replicated("first", 1, publishing(ingressPort(80, 8080)));
  const second = await fleet.replicated("second", 1, { ...on("a"), ...publishing(ingressPort(80, 8080)) });
  const [task] = fleet.all(second);
  assert.deepEqual([task!.Status.State, task!.Status.Message], ["new", "created"]);
  assert.equal(task!.Status.Err, "port 8080/tcp is in use by another service as an ingress port");
  assert.equal(fleet.service(second).Endpoint, undefined);
  await fleet.store.update((tx) => tx.delete("services", first));
  await fleet.clock.advance(60_000);
  assert.deepEqual(fleet.slots(second), [1]);
  assert.equal(fleet.running(second)[0]!.Status.Err, undefined);
});

Deno.test("Network voter: a network without an address left keeps tasks new, which go on one by one as others end (75)", async () => {
  await using fleet = await mesh();
  // Of its 13 addresses the service has one and three nodes have one each.
  await network(fleet, "small", "10.0.9.0/28");
  const web = await fleet.replicated("web", 12, on("small"));
  const waiting = () => fleet.all(web).filter(({ Status }) => Status.State === "new");
  await fleet.clock.advance(1000);
  const began = fleet.running(web).length;
  assert.equal(began, 9);
  assert.ok(fleet.store.all("nodes").every(({ Attachments }) => Attachments?.length === 1));
  assert.equal(waiting().length, 12 - began);
  for (const { Status } of waiting()) assert.equal(Status.Err, "network the-small has no address left");
  const before = waiting().length;
  await fleet.scale(web, 11);
  await fleet.clock.advance(60_000);
  assert.ok(waiting().length < before || before === 0);
  await fleet.scale(web, 6);
  await fleet.clock.advance(60_000);
  assert.equal(fleet.running(web).length, 6);
  const other = await fleet.replicated("other", 2, on("small"));
  await fleet.clock.advance(1000);
  assert.equal(fleet.running(other).length, 2);
  holdings(fleet.store);
});

Deno.test("Network voter: a service that finds no address says so on its tasks, and goes on when one is freed", async () => {
  await using fleet = await mesh();
  await network(fleet, "tiny", "10.0.9.0/29");
  const first = await fleet.replicated("first", 5, on("tiny"));
  await fleet.clock.advance(1000);
  const second = await fleet.replicated("second", 1, on("tiny"));
  assert.equal(fleet.all(second)[0]!.Status.Err, "network the-tiny has no address left");
  await fleet.store.update((tx) => tx.delete("services", first));
  await fleet.clock.advance(60_000);
  assert.deepEqual(fleet.slots(second), [1]);
});

Deno.test("Network voter: a removed network goes with the last who is in it", async () => {
  await using fleet = await mesh();
  const web = await fleet.replicated("web", 1, on("a"));
  await fleet.store.update((tx) => {
    tx.delete("services", web);
    tx.update("networks", { ...tx.get("networks", "a")!, RemovedAt: "2026-01-01T00:00:00.000Z" });
    tx.update("networks", { ...tx.get("networks", "b")!, RemovedAt: "2026-01-01T00:00:00.000Z" });
  });
  await fleet.clock.advance(0);
  assert.ok(fleet.store.get("networks", "b") === undefined, "nobody was in it");
  await fleet.clock.advance(60_000);
  assert.equal(fleet.store.get("networks", "a"), undefined);
});

Deno.test("Network voter: a new leader goes on from the store: nobody's address changes or is given twice (76)", async () => {
  await using fleet = await mesh();
  const web = await fleet.replicated("web", 3, { ...on("a"), ...publishing(ingressPort(80)) });
  const before = holdings(fleet.store), endpoint = fleet.service(web).Endpoint;
  await fleet.stepDown();
  fleet.lead(undefined, withNetworks);
  await fleet.clock.advance(1000);
  assert.deepEqual(holdings(fleet.store), before);
  assert.deepEqual(fleet.service(web).Endpoint, endpoint);
  await fleet.replicated("more", 20, on("a"));
  await fleet.clock.advance(1000);
  for (const [address, holder] of before) assert.equal(holdings(fleet.store).get(address), holder);
});

Deno.test("Network voter: whatever happens, with writes that fail and leaders that change, no address has two holders", async () => {
  for (let seed = 1; seed <= 12; seed++) {
    const random = seededRandom(seed), pick = (below: number) => Math.floor(random.float() * below);
    const flaw = () => (["refused", "half", undefined, undefined, undefined] as const)[pick(5)];
    await using fleet = await mesh((store) => flakyStore(store, flaw));
    await network(fleet, "small", "10.0.9.0/28");
    const nets = ["a", "b", "small"], names = ["s0", "s1", "s2", "s3"];
    const targets = () => nets.filter(() => pick(2) === 0);
    const options = () => ({ ...on(...targets()), ...(pick(2) === 0 && publishing(ingressPort(80))) });
    for (let step = 0; step < 25; step++) {
      const name = names[pick(names.length)]!, id = `${name}-id`, known = fleet.store.get("services", id);
      const what = pick(6);
      if (known === undefined) {
        await fleet.create(makeService(name, { Replicated: { Replicas: 1 + pick(6) } }, options()));
      } else if (what === 0) await fleet.store.update((tx) => tx.delete("services", id));
      else if (what === 1) await fleet.scale(id, 1 + pick(8));
      else if (what === 2) await fleet.template(id, on(...targets()).template);
      else if (what === 3) {
        await fleet.stepDown();
        fleet.lead(flakyStore(fleet.store, flaw), withNetworks);
      } else await fleet.clock.advance(pick(10_000));
      holdings(fleet.store);
    }
    await fleet.stepDown();
    fleet.lead(undefined, withNetworks);
    await fleet.store.update((tx) => {
      for (const { ID } of tx.all("services")) tx.delete("services", ID);
    });
    await fleet.clock.advance(300_000);
    assert.deepEqual(holdings(fleet.store), new Map(), `seed ${seed}`);
  }
});

Deno.test("Network voter: 1,000 services with 5,000 tasks take as many writes as there is to write", async () => {
  await using fleet = new Fleet();
  for (let at = 0; at < 50; at++) await fleet.node(`n${at}`);
  await fleet.store.batch([...fleet.store.all("nodes")], (tx, { ID }) => {
    const each = tx.get("nodes", ID)!;
    tx.update("nodes", { ...each, Description: { ...each.Description!, OverlayRuntimes: ["process"] } });
  });
  await network(fleet, "ingress", "10.0.0.0/24", true);
  const SERVICES = 1000, COPIES = 5;
  await fleet.store.batch(Array.from({ length: SERVICES }, (_, at) => at), (tx, at) => {
    const Subnet = `10.${1 + (at >> 8)}.${at & 255}.0/24`;
    tx.create("networks", {
      ID: `net${at}`,
      Version: { Index: 0 },
      CreatedAt: "",
      UpdatedAt: "",
      Spec: { Name: `net${at}`, Labels: {} },
      VNI: 5000 + at,
      Subnets: [{ Subnet, Gateway: Subnet.replace(/0\/24$/, "1") }],
    });
    tx.create("services", makeService(`s${at}`, { Replicated: { Replicas: COPIES } }, on(`net${at}`)));
  });
  let changes = 0;
  const allocated = new Set<string>();
  fleet.store.subscribe((commit) => {
    for (const change of commit.changes) {
      if (change.table === "services") changes++;
      if (change.table === "tasks" && change.object.Status.State === "pending" && change.old) {
        allocated.add(change.object.ID);
        if (change.old.Status.State === "new") changes++;
      }
      if (change.table === "tasks" && change.object.Status.State === "new" && change.old) changes++;
    }
  });
  fleet.lead(undefined, withNetworks);
  await fleet.clock.advance(5000);
  assert.equal(allocated.size, SERVICES * COPIES);
  assert.equal(changes, SERVICES + SERVICES * COPIES, "one write for each service, one for each task");
  assert.equal(fleet.store.all("tasks").filter(({ Status }) => Status.State === "running").length, 5000);
  holdings(fleet.store);
});
