import assert from "node:assert/strict";
import { memoryNetwork } from "../../transport/memory_network.ts";
import { networkOf } from "../../transport/remote_network.ts";
import type { Connection, Limits, PeerIdentity } from "../../transport/mod.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { identityOf, routerOf } from "../support/transport.ts";

interface Hall {
  clock: FakeClock;
  dial(host: string, peer?: PeerIdentity): Promise<Connection>;
}

/** A listener with `limits` whose call `t.wait` takes for ever. */
async function withHall(limits: Partial<Limits>, test: (hall: Hall) => Promise<void>): Promise<void> {
  const clock = new FakeClock(), network = memoryNetwork(), open: Connection[] = [];
  const listener = await network.listen({
    listen: "m:0",
    identity: () => identityOf("m1", "swarm-manager"),
    router: routerOf({
      "t.wait": { kind: "unary", access: "anyone", handler: () => new Promise(() => {}) },
    }),
    clock,
    limits,
  });
  const dial = async (host: string, peer?: PeerIdentity) => {
    const connection = await network.dialer({ host, identity: () => peer, clock }).dial(listener.address);
    open.push(connection);
    return connection;
  };
  try {
    await test({ clock, dial });
  } finally {
    await listener.close();
    for (const connection of open) await connection.closed;
  }
  assert.equal(clock.pending, 0);
}

/** Whether a connection is over, and what it was told. */
async function farewell(connection: Connection): Promise<string> {
  await settle();
  const over = await Promise.race([connection.closed, Promise.resolve("open" as const)]);
  return over === "open" ? "open" : over?.message ?? "closed here";
}

Deno.test("Acceptor: managers get in when nodes have filled all but their reserve", async () => {
  await withHall({ maxConnections: 3, managerReserve: 1 }, async ({ dial }) => {
    await dial("a", identityOf("w1"));
    await dial("b", identityOf("w2"));
    await assert.rejects(dial("c", identityOf("w3")), { code: "resource_exhausted", retryable: true });
    await assert.rejects(dial("d"), { code: "resource_exhausted" });
    await dial("e", identityOf("m2", "swarm-manager"));
    await assert.rejects(dial("f", identityOf("m3", "swarm-manager")), { message: /3 connections are open/ });
  });
});

Deno.test("Acceptor: of one certificate's connections the oldest gives way, one that does nothing first, and nobody else's", async () => {
  await withHall({ maxConnectionsPerWorker: 2 }, async ({ dial }) => {
    const other = await dial("a", identityOf("w2"));
    const mine: Connection[] = [], waits: Promise<unknown>[] = [];
    const more = async (busy: boolean) => {
      const connection = await dial("b", identityOf("w1"));
      mine.push(connection);
      if (busy) waits.push(connection.call("t.wait", 1).catch(() => {}));
      await settle();
    };
    const open = async () => (await Promise.all(mine.map(farewell))).map((end) => end === "open");
    await more(true);
    await more(false);
    await more(true);
    assert.deepEqual(await open(), [true, false, true]);
    await more(true);
    assert.deepEqual(await open(), [false, false, true, true]);
    assert.match(await farewell(mine[0]!), /gives way to a newer one/);
    assert.equal(await farewell(other), "open");
    for (const connection of mine) connection.close();
    await Promise.all(waits);
  });
});

Deno.test("Acceptor: without certificate the idle give way, those of one address first; who is being served stays", async () => {
  const limits = { maxAnonymousConnections: 4, maxAnonymousConnectionsPerAddress: 2 };
  await withHall(limits, async ({ dial }) => {
    const a = [await dial("a"), await dial("a"), await dial("a")];
    assert.match(await farewell(a[0]!), /gives way/);
    const waits = [a[1]!, a[2]!].map((connection) => connection.call("t.wait", 1).catch(() => {}));
    await settle();
    await assert.rejects(dial("a"), { code: "resource_exhausted", retryable: true });
    const b = [await dial("b"), await dial("c")];
    const d = await dial("d");
    assert.deepEqual(await Promise.all([a[1]!, a[2]!].map(farewell)), ["open", "open"]);
    assert.equal((await Promise.all(b.map(farewell))).filter((end) => end === "open").length, 1);
    assert.equal(await farewell(d), "open");
    for (const connection of [a[1]!, a[2]!]) connection.close();
    await Promise.all(waits);
  });
});

Deno.test("Acceptor: without certificate a connection ends without a call, and a call that lasts too long", async () => {
  await withHall({}, async ({ clock, dial }) => {
    const idle = await dial("a"), busy = await dial("a"), node = await dial("b", identityOf("w1"));
    const call = assert.rejects(busy.call("t.wait", 1), { code: "deadline_exceeded" });
    await settle();
    await clock.advance(10_000);
    assert.match(await farewell(idle), /no call for 10000 ms/);
    assert.equal(await farewell(busy), "open");
    await clock.advance(50_000);
    await call;
    assert.equal(await farewell(node), "open");
  });
});

Deno.test("Acceptor: an address stands for its machine", () => {
  assert.equal(networkOf("192.0.2.7:4000"), "192.0.2.7");
  assert.equal(networkOf("[::ffff:192.0.2.7]:4000"), "192.0.2.7");
  assert.equal(networkOf("[2001:db8:1:2:3:4:5:6]:1"), networkOf("[2001:db8:1:2::9]:2"));
  assert.notEqual(networkOf("[2001:db8:1:2::9]:1"), networkOf("[2001:db8:1:3::9]:1"));
  assert.equal(networkOf("[::1]:1"), "0:0:0:0");
  assert.equal(networkOf("unknown:0"), "unknown");
});

Deno.test("Acceptor: who only a former root vouches for takes no place of the node that it says it is", async () => {
  await withHall({ maxConnectionsPerWorker: 2, maxAnonymousConnectionsPerAddress: 2 }, async ({ dial }) => {
    const own = [await dial("a", identityOf("w1")), await dial("a", identityOf("w1"))];
    const forged = { ...identityOf("w1", "swarm-manager"), unproven: true };
    for (let i = 0; i < 5; i++) await dial("b", forged);
    assert.deepEqual(await Promise.all(own.map(farewell)), ["open", "open"]);
  });
});
