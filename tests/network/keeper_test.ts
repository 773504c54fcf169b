import assert from "node:assert/strict";
import type { AssignmentChange } from "../../api/dispatcher.ts";
import { CoveyError } from "../../api/errors.ts";
import { NetworkKeeper } from "../../network/keeper.ts";
import type { TaskHere } from "../../network/task_spaces.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";

/** Notes what it is asked; what `refuses` names fails. */
class Helper {
  readonly asked: string[] = [];
  refuses = "";
  /** Called while it is at it. */
  onAsk: (text: string) => void = () => {};
  ask(verb: string, words: readonly string[]): Promise<string> {
    const text = [verb, ...words].join(" ");
    this.asked.push(text);
    this.onAsk(text);
    if (this.refuses !== "" && text.startsWith(this.refuses)) {
      return Promise.reject(
        new CoveyError("failed_precondition", "this kernel has no VXLAN", { retryable: true }),
      );
    }
    return Promise.resolve(verb === "network" ? "1450" : "");
  }
  close = () => Promise.resolve();
  /** What was asked since the last time. */
  taken(): string[] {
    return this.asked.splice(0);
  }
}

const network: AssignmentChange = {
  Action: "update",
  Kind: "network",
  Network: {
    ID: "net1",
    Name: "shop",
    VNI: 4097,
    DataPathPort: 4789,
    Subnets: [{ Subnet: "10.0.1.0/24", Gateway: "10.0.1.1" }],
    NodeAddress: "10.0.1.3/24",
    Internal: false,
    Ingress: false,
  },
};
const peer = (DataPathAddr: string, ...Addresses: string[]): AssignmentChange => ({
  Action: "update",
  Kind: "network_peer",
  Peer: { NetworkID: "net1", NodeID: "n2", DataPathAddr, Addresses },
});
const service = (...addresses: string[]): AssignmentChange => ({
  Action: "update",
  Kind: "network_service",
  Service: {
    NetworkID: "net1",
    ServiceID: "s1",
    Name: "web",
    Aliases: [],
    VirtualIP: "10.0.1.2",
    Ports: [],
    Backends: addresses.map((Address) => ({ TaskID: Address, Name: "web.1", NodeID: "n1", Address })),
  },
});

function fixture(dataPath = "") {
  const clock = new FakeClock(), helper = new Helper(), uses: boolean[] = [];
  const tasks: TaskHere[] = [];
  const disk = { text: undefined as string | undefined, writes: 0 };
  const storage = {
    load: () => Promise.resolve(disk.text),
    save: (text: string | undefined) => {
      disk.text = text;
      disk.writes++;
      return Promise.resolve();
    },
  };
  const make = () =>
    new NetworkKeeper({
      nodeID: "n1",
      helper,
      clock,
      dataPath,
      storage,
      tasks: () => tasks,
      onUse: (isUsed) => uses.push(isUsed),
    });
  return { clock, helper, tasks, uses, disk, make, keeper: make() };
}

const never = () => new AbortController().signal;
const taskAt = (address: string, Runtime = "container", more: Partial<TaskHere> = {}): TaskHere => ({
  ID: `task-${address.split("/")[0]}`,
  Spec: { Runtime },
  NetworkAttachments: [{ NetworkID: "net1", Addresses: [address] }],
  ...more,
});

Deno.test("Networks on a node: what it is told of is made, and of a change only what it changes", async () => {
  const { helper, keeper, uses } = fixture();
  keeper.applyComplete([network, peer("192.0.2.2", "10.0.1.7"), service("10.0.1.5")]);
  await keeper.settled();
  assert.deepEqual(helper.taken(), [
    "keep 4097",
    "network 4097 4789 0 192.0.2.2 02:42:0a:00:01:03",
    "addresses 4097 10.0.1.1/24 10.0.1.3/32 10.0.1.2/32",
    "table 4097 10.0.1.7@192.0.2.2",
    "rules dns:10.0.1.1 node:4097:10.0.1.3 vip:10.0.1.2:10.0.1.5",
  ]);
  keeper.apply([service("10.0.1.5", "10.0.1.7")]);
  await keeper.settled();
  assert.deepEqual(helper.taken(), ["serve vip:10.0.1.2:10.0.1.5,10.0.1.7"], "of the rules one alone");
  keeper.apply([peer("192.0.2.2", "10.0.1.7", "10.0.1.8")]);
  await keeper.settled();
  assert.deepEqual(helper.taken(), ["table 4097 10.0.1.7@192.0.2.2 10.0.1.8@192.0.2.2"]);
  keeper.applyComplete([network, peer("192.0.2.2", "10.0.1.7", "10.0.1.8"), service("10.0.1.5", "10.0.1.7")]);
  await keeper.settled();
  assert.deepEqual(helper.taken(), [], "the same again is no news");
  assert.deepEqual(uses, [true]);
  await keeper.close();
});

Deno.test("Networks on a node: what is over is removed, and with the last network everything", async () => {
  const { helper, keeper, uses, disk } = fixture();
  keeper.apply([network]);
  await keeper.settled();
  helper.taken();
  keeper.apply([{ Action: "remove", Kind: "network", ID: "net1" }]);
  await keeper.settled();
  assert.deepEqual(helper.taken(), ["keep ", "rules ", "leave"].map((text) => text.trim()));
  assert.deepEqual(uses, [true, false]);
  assert.equal(disk.text, undefined);
  await keeper.close();
});

Deno.test("Networks on a node: a task waits for its network, and hears what keeps it from being made", async () => {
  const { clock, helper, keeper } = fixture();
  const early = keeper.ready("net1", never());
  await settle();
  keeper.apply([network]);
  assert.deepEqual(await early.then(({ Device, MTU, Nameserver }) => [Device, MTU, Nameserver]), [
    "cvp1001",
    1450,
    "10.0.1.1",
  ]);
  const unknown = assert.rejects(keeper.ready("net2", never()), {
    message: "Cannot attach to network net2: no manager has told of it yet",
    retryable: true,
  });
  await clock.advance(10_000);
  await unknown;
  helper.refuses = "network 4098";
  const other = { ...network.Network, ID: "net2", VNI: 4098, Name: "back" };
  keeper.apply([{ Action: "update", Kind: "network", Network: other }]);
  await assert.rejects(keeper.ready("net2", never()), {
    message: "Cannot attach to network back: this kernel has no VXLAN",
  });
  await keeper.ready("net1", never());
  helper.refuses = "";
  await clock.advance(120_000);
  assert.equal((await keeper.ready("net2", never())).Device, "cvp1002");
  await keeper.close();
});

Deno.test("Networks on a node: who is about to be attached is known by the rules before, and forgotten when it is gone", async () => {
  const { helper, keeper, tasks } = fixture();
  keeper.apply([network]);
  tasks.push(taskAt("10.0.1.5/24"));
  await keeper.ready("net1", never());
  assert.match(helper.taken().at(-1)!, /^rules from:10\.0\.1\.5:169\.254\.80\.1 dns:/);
  assert.equal(keeper.askers.at("169.254.80.1"), "10.0.1.5");
  tasks[0] = taskAt("10.0.1.6/24");
  await keeper.ready("net1", never());
  assert.deepEqual(helper.taken(), ["askers from:10.0.1.6:169.254.80.1"]);
  await keeper.close();
});

Deno.test("Networks on a node: who serves is loaded with everything else after a load of it that failed", async () => {
  const { helper, keeper } = fixture();
  keeper.apply([network, service("10.0.1.5")]);
  await keeper.settled();
  helper.taken();
  helper.refuses = "serve";
  keeper.apply([service("10.0.1.6")]);
  await keeper.settled();
  assert.deepEqual(helper.taken(), [
    "serve vip:10.0.1.2:10.0.1.6",
    "rules dns:10.0.1.1 node:4097:10.0.1.3 vip:10.0.1.2:10.0.1.6",
  ]);
  await keeper.close();
});

Deno.test("Networks on a node: a device that starts without a manager makes what it was told before, and writes nothing", async () => {
  const { helper, keeper, make, disk } = fixture();
  keeper.apply([network, peer("192.0.2.2", "10.0.1.7"), service("10.0.1.5")]);
  await keeper.settled();
  const asked = helper.taken(), { writes } = disk;
  await keeper.close();
  const next = make();
  await next.load();
  await next.ready("net1", never());
  assert.deepEqual(helper.taken(), asked.toSpliced(-1, 0, "tasks"));
  next.applyComplete([network, peer("192.0.2.2", "10.0.1.7"), service("10.0.1.5")]);
  await next.settled();
  assert.equal(disk.writes, writes);
  await next.close();
  disk.text = "{";
  const damaged = make();
  await damaged.load();
  assert.equal(damaged.told.isEmpty, true);
  await damaged.close();
});

Deno.test("Networks on a node: what the host cannot do is asked again, but not all the time, what it can is not", async () => {
  const { clock, helper, keeper } = fixture();
  helper.refuses = "probe";
  await assert.rejects(keeper.check(never()), { message: "this kernel has no VXLAN" });
  await assert.rejects(keeper.check(never()), { message: "this kernel has no VXLAN" });
  helper.refuses = "";
  await clock.advance(5 * 60_000);
  await keeper.check(never());
  await keeper.check(never());
  assert.deepEqual(helper.taken(), ["probe", "probe"]);
  await assert.rejects(
    fixture("fd00::1").keeper.check(never()),
    /over IPv4, and this node's address for them is fd00::1/,
  );
  await keeper.close();
});

Deno.test("Networks on a node: published ports go to all that serve, by the ingress network alone", async () => {
  const { helper, keeper } = fixture();
  const Ports = [{
    Protocol: "tcp" as const,
    TargetPort: 80,
    PublishedPort: 8080,
    PublishMode: "ingress" as const,
  }];
  const web = service("10.0.1.5", "10.0.1.6") as { Service: object };
  keeper.apply([
    { Action: "update", Kind: "network", Network: { ...network.Network, Ingress: true } },
    { Action: "update", Kind: "network_service", Service: { ...web.Service, Ports } } as AssignmentChange,
  ]);
  await keeper.settled();
  assert.equal(
    helper.taken().at(-1),
    "rules node:4097:10.0.1.3 vip:10.0.1.2:10.0.1.5,10.0.1.6 port:tcp:8080:80:10.0.1.5,10.0.1.6",
  );
  // What does not get there is not sent there.
  const far = peer("192.0.2.2", "10.0.1.6") as { Peer: object };
  keeper.apply([{ ...far, Peer: { ...far.Peer, Relayed: true } } as AssignmentChange]);
  await keeper.settled();
  assert.deepEqual(helper.taken(), ["serve vip:10.0.1.2:10.0.1.5 port:tcp:8080:80:10.0.1.5"]);
  await keeper.close();
});

Deno.test("Networks on a node: a program gets a namespace with its places, way out and ports, before it starts", async () => {
  const { helper, keeper, tasks } = fixture();
  keeper.apply([network]);
  const web = taskAt("10.0.1.5/24", "process", {
    Ports: [{ Protocol: "tcp", TargetPort: 80, PublishedPort: 8080, PublishMode: "host" }],
  });
  tasks.push(web, taskAt("10.0.1.6/24"));
  assert.equal(await keeper.join(web, never()), "n1");
  const asked = helper.taken();
  assert.ok(asked.includes("join task-10.0.1.5 10.0.1.1 10.0.1.1 4097@10.0.1.5/24"), asked.join("\n"));
  assert.match(asked.at(-2)!, /node:4097:10\.0\.1\.3 open:4097 port:tcp:8080:80:10\.0\.1\.5$/);
  await keeper.join(web, never());
  assert.deepEqual(helper.taken(), [], "it is there");
  tasks.shift();
  await keeper.part(web.ID);
  await keeper.part("task-10.0.1.6");
  assert.deepEqual(helper.taken(), ["part task-10.0.1.5"], "a container has none");
  await keeper.close();
});

Deno.test("Networks on a node: a program in closed networks alone has no way out; why one waits is said", async () => {
  const { clock, helper, keeper, tasks } = fixture();
  keeper.apply([{ Action: "update", Kind: "network", Network: { ...network.Network, Internal: true } }]);
  const closed = taskAt("10.0.1.5/24", "deno");
  tasks.push(closed);
  helper.refuses = "join";
  await assert.rejects(keeper.join(closed, never()), {
    message: "Cannot attach task task-10.0.1.5 to its networks: this kernel has no VXLAN",
    retryable: true,
  });
  helper.refuses = "";
  await clock.advance(1000);
  await keeper.join(closed, never());
  const asked = helper.taken();
  assert.ok(asked.includes("join task-10.0.1.5 - 10.0.1.1 4097@10.0.1.5/24"), asked.join("\n"));
  assert.ok(asked.some((text) => / closed:4097$/.test(text)));
  await keeper.close();
});

Deno.test("Networks on a node: a new agent takes up programs' namespaces, and removes those of tasks that are gone", async () => {
  const { helper, keeper, make, tasks } = fixture();
  keeper.apply([network]);
  await keeper.settled();
  await keeper.close();
  helper.taken();
  const web = taskAt("10.0.1.5/24", "process"), next = make();
  tasks.push(web);
  await next.load();
  next.resume(web);
  await next.settled();
  const asked = helper.taken();
  assert.deepEqual(asked.filter((text) => /^(tasks|join|part)/.test(text)), [
    "tasks task-10.0.1.5",
    "join task-10.0.1.5 10.0.1.1 10.0.1.1 4097@10.0.1.5/24",
  ]);
  await next.part(web.ID);
  assert.deepEqual(helper.taken(), ["part task-10.0.1.5"]);
  await next.close();
});

Deno.test("Networks on a node: it has loaded who serves when nobody else is sent anything, and nobody is before it is known where that is", async () => {
  const { keeper, helper, clock } = fixture();
  const isLoaded = async () => {
    let isSo = false;
    const abort = new AbortController();
    keeper.loaded(abort.signal).then(() => isSo = true, () => {});
    await settle();
    abort.abort();
    return isSo;
  };
  await keeper.loaded(never());
  helper.refuses = "rules";
  keeper.apply([network, peer("192.0.2.2", "10.0.1.7"), service("10.0.1.5", "10.0.1.7")]);
  await keeper.settled();
  assert.ok(!await isLoaded(), "what could not be loaded is not");
  helper.refuses = "";
  await clock.advance(60_000);
  assert.ok(await isLoaded());
  await keeper.settled();
  helper.taken();
  helper.refuses = "table";
  keeper.apply([peer("192.0.2.2", "10.0.1.7", "10.0.1.8"), service("10.0.1.8")]);
  await keeper.settled();
  assert.deepEqual(helper.taken().map((text) => text.split(" ")[0]), ["table", "serve"]);
  await keeper.close();
});

Deno.test("Networks on a node: a task translates services' addresses itself once it runs, and before it is known who serves no more", async () => {
  const { helper, keeper, tasks } = fixture(), task = taskAt("10.0.1.5/24");
  tasks.push(task);
  keeper.applyComplete([network, service("10.0.1.5")]);
  await keeper.settled();
  helper.taken();
  keeper.entered(task, 71);
  await keeper.settled();
  assert.deepEqual(helper.taken(), ["near at:71:10.0.1.5 vip:10.0.1.2:10.0.1.5"]);
  keeper.entered(task, 71);
  await keeper.settled();
  assert.deepEqual(helper.taken(), [], "seen again");
  keeper.apply([service("10.0.1.5", "10.0.1.7")]);
  const loaded = keeper.loaded(never()).then(() => helper.asked.length);
  await keeper.settled();
  assert.equal(await loaded, 2);
  assert.deepEqual(helper.taken(), [
    "serve vip:10.0.1.2:10.0.1.5,10.0.1.7",
    "near at:71:10.0.1.5:part vip:10.0.1.2:10.0.1.5,10.0.1.7",
  ]);
  keeper.apply([service()]);
  await keeper.settled();
  assert.deepEqual(
    helper.taken(),
    ["serve vip:10.0.1.2:", "near at:71:10.0.1.5"],
    "the networks' namespace refuses",
  );
  // It was started again.
  keeper.entered(task, 72);
  await keeper.settled();
  assert.deepEqual(helper.taken(), ["near at:72:10.0.1.5"]);
  keeper.entered(task, 0);
  keeper.apply([service("10.0.1.7")]);
  await keeper.settled();
  assert.deepEqual(helper.taken(), ["serve vip:10.0.1.2:10.0.1.7"]);
  await keeper.close();
});

Deno.test("Networks on a node: what a task does not translate as it should is asked again, and holds up nobody", async () => {
  const { helper, keeper, tasks, clock } = fixture(), task = taskAt("10.0.1.5/24");
  tasks.push(task);
  keeper.applyComplete([network, service("10.0.1.5")]);
  keeper.entered(task, 71);
  await keeper.settled();
  helper.refuses = "near";
  keeper.apply([service("10.0.1.7")]);
  await keeper.loaded(never());
  assert.equal(
    helper.taken().at(-1),
    "near at:71:10.0.1.5:part vip:10.0.1.2:10.0.1.7",
    "who serves no more is known",
  );
  await keeper.settled();
  helper.refuses = "";
  helper.taken();
  await clock.advance(1000);
  await keeper.settled();
  assert.deepEqual(helper.taken(), ["near at:71:10.0.1.5 vip:10.0.1.2:10.0.1.7"]);
  await keeper.close();
});

Deno.test("Networks on a node: a program translates for itself once it has its namespace", async () => {
  const { helper, keeper, tasks } = fixture(), task = { ...taskAt("10.0.1.5/24", "process"), ID: "task5" };
  tasks.push(task);
  keeper.applyComplete([network, service("10.0.1.5")]);
  await keeper.settled();
  helper.taken();
  await keeper.join(task, never());
  await keeper.settled();
  const asked = helper.taken();
  assert.ok(asked[0]!.startsWith("join task5 "), asked.join("\n"));
  assert.ok(asked.includes("near own:task5:10.0.1.5 vip:10.0.1.2:10.0.1.5"), asked.join("\n"));
  await keeper.close();
});

Deno.test("Networks on a node: one that is back before its removal has ended is made again, and with it its programs' places", async () => {
  const gone: AssignmentChange = { Action: "remove", Kind: "network", ID: "net1" };
  const other = { ...network, Network: { ...network.Network, ID: "net2", VNI: 4098 } };
  for (const others of [[], [other]]) {
    const { helper, keeper, tasks } = fixture(), task = taskAt("10.0.1.5/24", "process");
    tasks.push(task);
    keeper.apply([network, ...others]);
    await keeper.join(task, never());
    helper.taken();
    helper.onAsk = (text) => {
      if (!/^(leave|keep 4098)/.test(text)) return;
      helper.onAsk = () => {};
      keeper.apply([network]);
    };
    keeper.apply([gone]);
    await keeper.settled();
    const asked = helper.taken(), removed = asked.findIndex((text) => /^(leave|keep 4098)/.test(text));
    const made = asked.slice(removed).map((text) => text.split(" ", 2).join(" "));
    assert.ok(made.includes("network 4097") && made.includes("table 4097"), asked.join("\n"));
    assert.ok(made.includes(`join ${task.ID}`), asked.join("\n"));
    await keeper.close();
  }
});

Deno.test("Networks on a node: one whose devices somebody has removed is made anew, and is not held to be there until it is", async () => {
  const { helper, keeper, clock } = fixture();
  keeper.apply([network]);
  await keeper.settled();
  helper.taken();
  helper.refuses = "table";
  keeper.apply([peer("192.0.2.2", "10.0.1.7")]);
  await keeper.settled();
  assert.deepEqual(helper.taken().map((text) => text.split(" ", 1)[0]), ["network", "table"]);
  helper.refuses = "";
  await clock.advance(1000);
  await keeper.settled();
  assert.deepEqual(helper.taken().map((text) => text.split(" ", 1)[0]), ["network", "addresses", "table"]);
  assert.equal((await keeper.ready("net1", never())).MTU, 1450);
  await keeper.close();
});
