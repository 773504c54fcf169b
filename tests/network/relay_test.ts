/** A node's part in relayed connections: what its tasks ask for, and what others ask of its tasks. */
import assert from "node:assert/strict";
import type { Ask } from "../../api/dispatcher.ts";
import { CoveyError } from "../../api/errors.ts";
import { MAX_RELAY_PIECE_BYTES, MAX_RELAYED_PER_NODE } from "../../api/relay.ts";
import { Askers } from "../../network/askers.ts";
import { NodeNetworks } from "../../network/node_networks.ts";
import { NodeRelay } from "../../network/relay.ts";
import type { OpenRelay } from "../../network/relay_pipe.ts";
import { planNetwork, planRules, wholeRules } from "../../network/plan.ts";
import { seededRandom } from "../manager/dispatcher/harness.ts";
import { FakeClock } from "../support/fake_clock.ts";

const LOOPBACK = "127.0.0.1";
const bytes = (text: string) => new TextEncoder().encode(text);

function told(): NodeNetworks {
  const networks = new NodeNetworks(), shared = { NetworkID: "net1", NodeID: "n2" };
  networks.take({
    networks: [{
      ID: "net1",
      Name: "shop",
      VNI: 4097,
      DataPathPort: 4789,
      Subnets: [{ Subnet: "10.0.1.0/24", Gateway: "10.0.1.1" }],
      NodeAddress: "10.0.1.3/24",
      Internal: false,
      Ingress: false,
    }],
    peers: [
      { ...shared, DataPathAddr: "192.0.2.7", Addresses: ["10.0.1.7", "10.0.1.8"], Relayed: true },
      { ...shared, NodeID: "n3", DataPathAddr: "192.0.2.8", Addresses: ["10.0.1.9"] },
    ],
    services: [{
      NetworkID: "net1",
      ServiceID: "s1",
      Name: "web",
      Aliases: [],
      VirtualIP: "10.0.1.2",
      Ports: [],
      Backends: ["10.0.1.5", "10.0.1.7", "10.0.1.9"].map((Address) => ({
        TaskID: Address,
        Name: "web.1",
        NodeID: "n",
        Address,
      })),
    }],
  });
  return networks;
}

/** A node with a task at 10.0.1.5, whose questions come from 127.0.0.1; `noted`: what its rules say of a connection. */
function fixture(noted: string, place = LOOPBACK) {
  const tasks = [{
    ID: "t1",
    Spec: { Runtime: "process" },
    NetworkAttachments: [{ NetworkID: "net1", Addresses: ["10.0.1.5/24"] }],
  }];
  const askers = new Askers(() => tasks), asked: string[] = [];
  askers.refresh();
  askers.at = (at) => at === place ? "10.0.1.5" : undefined;
  const helper = {
    ask: (verb: string, words: readonly string[]) => {
      asked.push([verb, words[0]].join(" "));
      return noted === ""
        ? Promise.reject(new CoveyError("not_found", "nothing is known"))
        : Promise.resolve(noted);
    },
    close: () => Promise.resolve(),
  };
  const connected: string[] = [];
  let port = 0;
  const relay = new NodeRelay({
    told: told(),
    tasks: () => tasks,
    askers,
    helper,
    clock: new FakeClock(),
    random: seededRandom(),
    address: LOOPBACK,
    port: 0,
    connect: (at, to) => {
      connected.push(`${at}:${to}`);
      return Deno.connect({ hostname: LOOPBACK, port });
    },
  });
  return { relay, asked, connected, at: (to: number) => port = to };
}

async function readAll(connection: Deno.TcpConn): Promise<string> {
  let text = "";
  try {
    for await (const piece of connection.readable) text += new TextDecoder().decode(piece);
  } catch {
    text += "!";
  }
  return text;
}

async function* collected(
  items: AsyncIterable<Uint8Array>,
  answer: unknown[],
): AsyncGenerator<unknown, void> {
  let text = "";
  for await (const piece of items) text += new TextDecoder().decode(piece);
  yield bytes(`got ${text}: `);
  yield* answer;
}

Deno.test("Node relay: a task's connection goes to one that serves elsewhere, and both sides end by themselves", async () => {
  for (const noted of ["10.0.1.2 80", "10.0.1.7 80"]) {
    const { relay, asked } = fixture(noted), to: unknown[] = [];
    const open: OpenRelay = (where, toManager) => {
      to.push(where);
      assert.equal(relay.size, 1);
      return collected(toManager, [bytes("answer")]);
    };
    relay.connect(open, () => assert.fail("nobody asks"));
    const port = relay.listen(), connection = await Deno.connect({ hostname: LOOPBACK, port });
    await connection.write(bytes("question"));
    await connection.closeWrite();
    assert.equal(await readAll(connection), "got question: answer");
    // By its service's address it is one of those that are not reached otherwise.
    assert.deepEqual(to, [{ NetworkID: "net1", Address: "10.0.1.7", Port: 80 }]);
    assert.deepEqual(asked, ["relayed 10.0.1.5"]);
    await relay.close();
    assert.equal(relay.size, 0);
  }
});

Deno.test("Node relay: who is no task here, what was meant for nothing relayed, and no session: the connection is closed", async () => {
  const cases: [string, string, boolean][] = [
    ["10.0.1.2 80", "127.0.0.9", true],
    ["", LOOPBACK, true],
    ["10.0.1.9 80", LOOPBACK, true],
    ["10.9.9.9 80", LOOPBACK, true],
    ["10.0.1.2 80", LOOPBACK, false],
  ];
  for (const [noted, place, isConnected] of cases) {
    const { relay } = fixture(noted, place);
    if (isConnected) relay.connect(() => assert.fail(`opened for ${noted}`), () => assert.fail());
    const connection = await Deno.connect({ hostname: LOOPBACK, port: relay.listen() });
    assert.match(await readAll(connection), /^!?$/);
    await relay.close();
  }
});

Deno.test("Node relay: what a manager sends instead of bytes ends the connection, and so does the session's end", async () => {
  for (const odd of ["text", new Uint8Array(MAX_RELAY_PIECE_BYTES + 1), 7, null]) {
    const { relay } = fixture("10.0.1.7 80");
    relay.connect((_, toManager) => collected(toManager, [odd]), () => assert.fail());
    const connection = await Deno.connect({ hostname: LOOPBACK, port: relay.listen() });
    await connection.closeWrite();
    assert.match(await readAll(connection), /^got : !?$/);
    await relay.close();
  }
});

const ask = (ID: string, over: object = {}): Ask => ({
  Kind: "relay",
  ID,
  NetworkID: "net1",
  Address: "10.0.1.5",
  Port: 80,
  ...over,
});

Deno.test("Node relay: a manager gets to this node's tasks in their networks, by their places, and to nothing else", async () => {
  const { relay, connected, at } = fixture("");
  const server = Deno.listen({ hostname: LOOPBACK, port: 0 });
  at((server.addr as Deno.NetAddr).port);
  const served = (async () => {
    const connection = await server.accept();
    await connection.write(bytes("hello"));
    await connection.closeWrite();
    return await readAll(connection);
  })();
  const outcomes = new Map<string, string>(), done = Promise.withResolvers<void>();
  const openAsked = async function* (
    id: string,
    toManager: AsyncIterable<Uint8Array>,
  ): AsyncGenerator<unknown> {
    let text = "";
    try {
      if (id === "good") yield bytes("for the task");
      for await (const piece of toManager) text += new TextDecoder().decode(piece);
    } catch (thrown) {
      text = CoveyError.from(thrown).message;
    }
    outcomes.set(id, text);
    if (outcomes.size === 4) done.resolve();
  };
  relay.connect(() => assert.fail("nobody here asks"), openAsked);
  const wrong = [
    ask("other", { Address: "10.0.1.7" }),
    ask("nowhere", { NetworkID: "net2" }),
    ask("host", { Address: "169.254.77.1" }),
  ];
  relay.apply([ask("good"), ...wrong]);
  relay.apply([ask("good"), ...wrong]);
  await done.promise;
  assert.equal(await served, "for the task");
  assert.equal(outcomes.get("good"), "hello");
  for (const id of ["other", "nowhere", "host"]) {
    assert.match(outcomes.get(id)!, /^Cannot relay: nothing of network \S+ is at/);
  }
  assert.deepEqual(connected, ["169.254.80.1:80"]);
  await relay.close();
  server.close();
  assert.ok(MAX_RELAYED_PER_NODE > 1);
});

Deno.test("Node relay: what is relayed is at hand for the network, led to the agent by the rules, and in no table of peers", () => {
  const networks = told(), [network] = networks.networks.values();
  const planned = planNetwork(networks, network!, "").map(({ verb, words }) => [verb, ...words].join(" "));
  assert.deepEqual(planned, [
    "network 4097 4789 0 192.0.2.8 02:42:0a:00:01:03",
    "addresses 4097 10.0.1.1/24 10.0.1.3/32 10.0.1.2/32 10.0.1.7/32 10.0.1.8/32",
    "table 4097 10.0.1.9@192.0.2.8",
  ]);
  assert.deepEqual(wholeRules(planRules(networks, [])).words, [
    "dns:10.0.1.1",
    "node:4097:10.0.1.3",
    "relay:10.0.1.7",
    "relay:10.0.1.8",
    "vip:10.0.1.2:10.0.1.5,10.0.1.9,relay",
  ]);
});
