/** What networks cost where there are many of them: what a node is told and loads is what it runs. */
import assert from "node:assert/strict";
import { ASSIGNMENT_KINDS } from "../../../api/dispatcher.ts";
import { NetworkKeeper } from "../../../network/keeper.ts";
import { testTask } from "./harness.ts";
import { Hub, network, node, service } from "./network_hub.ts";

/** Counts what a node's helper is asked, by verb, in words. */
class CountingHelper {
  readonly asked: string[][] = [];
  ask(verb: string, words: readonly string[]): Promise<string> {
    this.asked.push([verb, ...words]);
    return Promise.resolve(verb === "network" ? "1450" : "");
  }
  close = () => Promise.resolve();
  words(verb: string): number {
    return this.asked.filter(([each]) => each === verb).reduce((sum, words) => sum + words.length - 1, 0);
  }
}

Deno.test("Network assignments: 1,000 services with 5,000 tasks on 50 nodes: each node is told of what it runs and loads as much, a change touches those concerned and one service's rules", async () => {
  await using hub = new Hub();
  const { store } = hub, SERVICES = 1000, NODES = 50, COPIES = 5;
  const all = Array.from({ length: SERVICES }, (_, each) => each);
  const nodesOf = (service: number) =>
    Array.from({ length: COPIES }, (_, copy) => (service * 7 + copy * 11) % NODES);
  const id = (service: number) => `net${service}`;
  const at = (service: number, last: number) => `10.${service >> 8}.${service & 255}.${last}/24`;
  const place = (service: number, copy: number, name: string, last = copy + 2) =>
    testTask(name, `n${nodesOf(service)[copy]}`, {
      ServiceID: `s${service}`,
      Spec: { ForceUpdate: 0, Runtime: "container", ContainerSpec: { Image: "busybox" } },
      Status: { Timestamp: "", State: "running", Message: "" },
      NetworkAttachments: [{ NetworkID: id(service), Addresses: [at(service, last)] }],
    });
  await store.update((tx) => {
    for (let each = 0; each < NODES; each++) {
      const here = all.filter((number) => nodesOf(number).includes(each));
      const Attachments = here.map((number) => ({
        NetworkID: id(number),
        Addresses: [at(number, 100 + each)],
      }));
      tx.create("nodes", { ...node(`n${each}`, each + 1), Attachments });
    }
  });
  await store.batch(all, (tx, number) => {
    const Subnets = [{ Subnet: at(number, 0), Gateway: at(number, 1).slice(0, -"/24".length) }];
    tx.create("networks", network(id(number), 4096 + number, { Subnets }));
    const { Spec, ...rest } = service([]);
    const VirtualIPs = [{ NetworkID: id(number), Addr: at(number, 250) }];
    const Endpoint = { Spec: {}, VirtualIPs };
    tx.create("services", { ...rest, ID: `s${number}`, Spec: { ...Spec, Name: `web${number}` }, Endpoint });
    for (let copy = 0; copy < COPIES; copy++) tx.create("tasks", place(number, copy, `t${number}.${copy}`));
  });
  const helpers = new Map<string, CountingHelper>(), keepers = new Map<string, NetworkKeeper>();
  for (let each = 0; each < NODES; each++) {
    const told = hub.agent(`n${each}`, ASSIGNMENT_KINDS), helper = new CountingHelper();
    const storage = { load: () => Promise.resolve(undefined), save: () => Promise.resolve() };
    const tasks = () => told.tasks.values();
    const nodeID = `n${each}`, { clock } = hub;
    const keeper = new NetworkKeeper({ nodeID, helper, clock, dataPath: "", tasks, storage });
    told.passOn = (changes) => keeper.apply(changes);
    helpers.set(`n${each}`, helper);
    keepers.set(`n${each}`, keeper);
  }
  await hub.sent();
  for (const [name, told] of hub.agents) {
    const here = all.filter((number) => nodesOf(number).some((each) => `n${each}` === name));
    assert.equal(told.networks.size, here.length);
    assert.equal(told.peers.size, here.length * (COPIES - 1));
    assert.equal(told.services.size, here.length);
    await keepers.get(name)!.settled();
    const helper = helpers.get(name)!, last = helper.asked.findLast(([verb]) => verb === "rules")!;
    // Of each network: where names are asked for, the node's own address, and the service; and who asks.
    assert.equal(last.length - 1, here.length * 4);
    assert.equal(helper.words("table"), here.length * (1 + 2 * (COPIES - 1)));
    // Of its tasks the first 32 translate their own service's address themselves.
    [...told.tasks.values()].forEach((task, index) => keepers.get(name)!.entered(task, index + 1));
    await keepers.get(name)!.settled();
    assert.equal(helper.words("near"), here.length + Math.min(here.length, 32));
    told.log.length = helper.asked.length = 0;
  }
  await store.update((tx) => {
    tx.delete("tasks", "t42.0");
    tx.create("tasks", place(42, 0, "t42.0b", 50));
  });
  await hub.sent();
  const own = nodesOf(42).map((each) => `n${each}`);
  const touched = [...hub.agents].filter(([, { log }]) => log.length > 0).map(([name]) => name).sort();
  assert.deepEqual(touched, own.toSorted());
  const changes = ["update network_peer net42/" + own[0], "update network_service net42/s42"].sort();
  for (const other of own.slice(1)) assert.deepEqual(hub.agents.get(other)!.log.sort(), changes);
  for (const [name, helper] of helpers) {
    await keepers.get(name)!.settled();
    const verbs = helper.asked.map(([verb]) => verb).filter((verb) => verb !== "near");
    // Of a task's own addresses the one, where it translates it.
    assert.ok(helper.words("near") <= (own.includes(name) ? 2 : 0));
    if (!own.includes(name)) assert.deepEqual(verbs, []);
    else if (name === own[0]) assert.deepEqual(verbs, ["serve", "askers"]);
    else assert.deepEqual(verbs, ["table", "serve"]);
    assert.equal(helper.words("serve"), own.includes(name) ? 1 : 0);
    await keepers.get(name)!.close();
  }
});
