/** Connections between nodes through a manager: for whom, to where, how many and how fast; nodes may send anything. */
import assert from "node:assert/strict";
import { CoveyError } from "../../../api/errors.ts";
import {
  MAX_RELAY_ASKS_PER_NODE,
  MAX_RELAY_PIECE_BYTES,
  MAX_RELAY_RATE_PER_NODE,
  MAX_RELAYED,
  MAX_RELAYED_PER_NODE,
  RELAY_OPEN_MS,
  type RelayAsk,
} from "../../../api/relay.ts";
import { AskTable, type Reach } from "../../../manager/dispatcher/asks.ts";
import { Relay } from "../../../manager/dispatcher/relay.ts";
import { FakeClock, settle } from "../../support/fake_clock.ts";
import { testStore } from "../../support/store.ts";
import { seededRandom } from "./harness.ts";
import { network, node, task } from "./network_hub.ts";

const OPEN = { Spec: { Name: "shop", Labels: {}, Options: { "covey.relay": "on" } } };
const bytes = (text: string) => new TextEncoder().encode(text);
const text = (piece: unknown) => new TextDecoder().decode(piece as Uint8Array);

/** A queue that somebody reads. */
class Items implements AsyncIterableIterator<unknown> {
  readonly #waiting: unknown[] = [];
  #wake = Promise.withResolvers<void>();
  #end: { error?: Error } | undefined;
  left = false;

  put(...items: unknown[]): void {
    this.#waiting.push(...items);
    this.#wake.resolve();
  }

  end(error?: Error): void {
    this.#end = error ? { error } : {};
    this.#wake.resolve();
  }

  async next(): Promise<IteratorResult<unknown>> {
    while (true) {
      if (this.#waiting.length > 0) return { value: this.#waiting.shift(), done: false };
      if (this.#end?.error) throw this.#end.error;
      if (this.#end || this.left) return { value: undefined, done: true };
      this.#wake = Promise.withResolvers();
      await this.#wake.promise;
    }
  }

  return(): Promise<IteratorResult<unknown>> {
    this.left = true;
    this.#wake.resolve();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/** Nodes n1 to n3 in net1, of which n2 has what serves at 10.1.0.11; n1 is in net2, too, which allows no relay. */
async function fixture() {
  const clock = new FakeClock(), { store } = testStore({ clock }), reaches = new Map<string, Reach>();
  await store.update((tx) => {
    tx.create("networks", network("net1", 1, OPEN));
    tx.create("networks", network("net2", 2));
    tx.create("networks", network("net3", 3, { ...OPEN, Spec: { ...OPEN.Spec, Name: "other" } }));
    for (const id of [1, 2, 3]) tx.create("nodes", node(`n${id}`, id, ["net1"]));
    tx.create("tasks", task("a", "n1", 10, ["net1", "net2"]));
    tx.create("tasks", task("b", "n2", 11, ["net1", "net2"]));
    tx.create("tasks", task("ended", "n3", 12, ["net1"], { State: "complete" } as never));
  });
  const asks = new AskTable({
    reach: (id) => reaches.get(id) ?? "connected",
    touch: () => {},
    checkLeading: () => {},
  });
  const relay = new Relay({
    store,
    asks,
    clock,
    random: seededRandom(),
    backend: (_, Address) =>
      Address.endsWith(".0.11") ? { TaskID: "b", Name: "web.1", NodeID: "n2", Address } : undefined,
  });
  const abort = new AbortController();
  const call = (over: object = {}) => ({
    SessionID: "s",
    NetworkID: "net1",
    Address: "10.1.0.11",
    Port: 80,
    ...over,
  });
  const open = (from: AsyncIterable<unknown> = new Items(), over: object = {}, nodeID = "n1") =>
    relay.open(nodeID, call(over), from, abort.signal)[Symbol.asyncIterator]();
  const asked = () => asks.of("n2", new Set(["relay"])) as RelayAsk[];
  return { clock, asks, relay, reaches, open, asked, abort };
}

const refusal = async (connection: AsyncIterator<unknown>) => {
  const error = await connection.next().then(() => undefined, (thrown) => thrown as CoveyError);
  return `${error?.code}: ${error?.message}`;
};

Deno.test("Relay: bytes go both ways, each side ends by itself, and both nodes have them on their account", async () => {
  const { asks, relay, open, asked } = await fixture();
  const fromAsker = new Items(), fromTarget = new Items(), connection = open(fromAsker);
  const first = connection.next();
  await settle();
  const [ask] = asked();
  assert.deepEqual({ ...ask, ID: "" }, {
    Kind: "relay",
    ID: "",
    NetworkID: "net1",
    Address: "10.1.0.11",
    Port: 80,
  });
  const toTarget = asks.join("n2", ask!.ID, fromTarget, new AbortController().signal)[Symbol.asyncIterator]();
  await settle();
  assert.deepEqual(asked(), [], "it is asked for no longer");
  fromAsker.put(bytes("question"), new Uint8Array());
  fromAsker.end();
  assert.equal(text((await toTarget.next()).value), "question");
  assert.equal((await toTarget.next()).done, true);
  fromTarget.put(bytes("an answer"));
  assert.equal(text((await first).value), "an answer");
  assert.deepEqual(relay.usage("n1"), { Open: 1, Opened: 1, FromNode: 8, ToNode: 9, Refused: 0 });
  fromTarget.end();
  assert.equal((await connection.next()).done, true);
  assert.deepEqual(relay.usage("n2"), { Open: 0, Opened: 1, FromNode: 9, ToNode: 8, Refused: 0 });
  assert.equal(relay.usage("n3"), undefined);
});

Deno.test("Relay: a node gets to nothing but what serves in networks of its own tasks that allow it", async () => {
  const { open, asked } = await fixture();
  const denied = /^permission_denied: Cannot relay: node \w+ runs nothing in network/;
  assert.match(await refusal(open(new Items(), { NetworkID: "net3" })), denied);
  assert.match(await refusal(open(new Items(), { NetworkID: "nowhere" })), denied);
  assert.match(await refusal(open(new Items(), {}, "n3")), denied);
  assert.match(await refusal(open(new Items(), {}, "stranger")), denied);
  assert.match(
    await refusal(open(new Items(), { NetworkID: "net2", Address: "10.2.0.11" })),
    /^permission_denied: Cannot relay: network the net2 does not allow it/,
  );
  assert.match(
    await refusal(open(new Items(), { Address: "10.1.0.202" })),
    /^not_found: Cannot relay: nothing serves at 10\.1\.0\.202 in network shop/,
  );
  assert.deepEqual(asked(), []);
});

Deno.test("Relay: a node that is away, too old or late, and one that answers what is not its own, break nothing", async () => {
  const { clock, asks, reaches, open, asked, relay, abort } = await fixture();
  for (
    const [reach, words] of [["away", /^unavailable: .*not connected/], [
      "unable",
      /^unimplemented: .*older/,
    ]] as const
  ) {
    reaches.set("n2", reach);
    assert.match(await refusal(open()), words);
  }
  reaches.clear();
  const late = refusal(open());
  await clock.advance(RELAY_OPEN_MS);
  assert.match(await late, /^deadline_exceeded: Cannot relay: the other node has not answered within 30 s/);
  const connection = open(), pending = refusal(connection);
  await settle();
  const [{ ID } = assert.fail()] = asked(), signal = new AbortController().signal;
  assert.throws(() => asks.join("n3", ID, new Items(), signal), /nobody asks node n3/);
  const other = new Items();
  asks.join("n2", ID, other, signal);
  assert.throws(() => asks.join("n2", ID, new Items(), signal), /made already|nobody asks/);
  // Who asked leaves.
  abort.abort();
  assert.match(await pending, /aborted/);
  await settle();
  assert.ok(other.left);
  assert.equal(relay.usage("n1")!.Open, 0);
});

Deno.test("Relay: what is no piece of bytes ends the connection, whoever sends it", async () => {
  for (const odd of ["text", { Data: 1 }, null, new Uint8Array(MAX_RELAY_PIECE_BYTES + 1), 4711]) {
    const { asks, open, asked, relay } = await fixture();
    const fromAsker = new Items(), connection = open(fromAsker), pending = refusal(connection);
    await settle();
    const fromTarget = new Items();
    const toTarget = asks.join("n2", asked()[0]!.ID, fromTarget, new AbortController().signal);
    fromTarget.put(odd);
    assert.match(await pending, /^invalid_argument: Cannot relay: a node sends what is no piece/);
    fromAsker.put(odd);
    await assert.rejects(async () => {
      for await (const _ of toTarget);
    });
    assert.equal(relay.usage("n1")!.Open, 0);
  }
});

Deno.test("Relay: connections are bounded by name, of each node and of all, and what is refused is counted", async () => {
  const { asks, open, asked, relay, abort } = await fixture();
  const connections: Promise<unknown>[] = [];
  const openOne = () => connections.push(open().next().catch(() => undefined));
  for (let at = 0; at < MAX_RELAY_ASKS_PER_NODE; at++) openOne();
  await settle();
  assert.match(
    await refusal(open()),
    /^resource_exhausted: Cannot relay: node n2 is asked for 8 connections already/,
  );
  const join = async () => {
    for (const { ID } of asked()) asks.join("n2", ID, new Items(), new AbortController().signal);
    await settle();
  };
  await join();
  while (connections.length < MAX_RELAYED_PER_NODE) {
    openOne();
    await settle();
    await join();
  }
  assert.match(
    await refusal(open()),
    new RegExp(
      `^resource_exhausted: Cannot relay: node n1 has ${MAX_RELAYED_PER_NODE} connections, the limit`,
    ),
  );
  assert.deepEqual([relay.usage("n1")!.Open, relay.usage("n1")!.Refused], [MAX_RELAYED_PER_NODE, 2]);
  assert.ok(MAX_RELAYED > MAX_RELAYED_PER_NODE);
  abort.abort();
  await Promise.all(connections);
  assert.equal(relay.usage("n1")!.Open, 0);
});

Deno.test("Relay: a node has no more bytes a second than it may, however fast it sends, and others go on", async () => {
  const { clock, asks, open, asked, relay } = await fixture();
  const fromAsker = new Items(), fromTarget = new Items(), connection = open(fromAsker);
  const first = connection.next();
  await settle();
  const toTarget = asks.join("n2", asked()[0]!.ID, fromTarget, new AbortController().signal);
  const pieces = MAX_RELAY_RATE_PER_NODE / MAX_RELAY_PIECE_BYTES;
  for (let at = 0; at < 3 * pieces; at++) fromTarget.put(new Uint8Array(MAX_RELAY_PIECE_BYTES));
  await first;
  let got = 1;
  const reading = (async () => {
    for (let next = await connection.next(); !next.done; next = await connection.next()) got++;
  })();
  await settle();
  assert.equal(got, pieces, "what a second holds comes at once");
  await clock.advance(500);
  assert.ok(got > pieces && got <= 1.5 * pieces + 1, `${got}`);
  await clock.advance(5000);
  assert.equal(got, 3 * pieces);
  fromTarget.end();
  fromAsker.end();
  for await (const _ of toTarget);
  await reading;
  assert.equal(relay.usage("n2")!.FromNode, 3 * MAX_RELAY_RATE_PER_NODE);
});

Deno.test("Relay: when this manager leads no longer, all connections end with the reason", async () => {
  const { asks, open, asked } = await fixture();
  const waiting = refusal(open());
  await settle();
  asks.stop(
    new CoveyError("unavailable", "Cannot serve: not the leader"),
  );
  assert.match(await waiting, /not the leader/);
  assert.deepEqual(asked(), []);
});
