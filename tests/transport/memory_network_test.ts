import assert from "node:assert/strict";
import { CoveyError } from "../../api/errors.ts";
import { memoryNetwork } from "../../transport/memory_network.ts";
import type { Connection, Method } from "../../transport/types.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";
import { withLink } from "../support/memory_cluster.ts";
import { identityOf, routerOf, until } from "../support/transport.ts";

const echo: Method = { kind: "unary", access: "anyone", handler: (request) => Promise.resolve(request) };

Deno.test("memoryNetwork: a stalled link holds everything back and delivers it later", async () => {
  await withLink({ "t.echo": echo }, async ({ connection, network }) => {
    network.setLink("worker", "manager", "stalled");
    let answer: unknown;
    const call = connection.call("t.echo", 1).then((value) => answer = value);
    await settle();
    assert.equal(answer, undefined);
    network.setLink("worker", "manager", "up");
    await call;
    assert.equal(answer, 1);
  });
});

Deno.test("memoryNetwork: one direction can stall alone", async () => {
  let asked = 0;
  const count: Method = { kind: "unary", access: "anyone", handler: () => Promise.resolve(++asked) };
  await withLink({ "t.count": count }, async ({ connection, network }) => {
    network.setPath("manager", "worker", "stalled");
    const call = connection.call("t.count", 1);
    await until(() => asked === 1);
    network.setPath("manager", "worker", "up");
    assert.equal(await call, 1);
  });
});

Deno.test("memoryNetwork: both ends of a link that stalls for good notice by themselves", async () => {
  await withLink({}, async ({ connection, accepted, network, clock }) => {
    network.setLink("worker", "manager", "stalled");
    await clock.advance(60_000);
    assert.match((await connection.closed)!.message, /no sign of life/);
    assert.match((await accepted.closed)!.message, /no sign of life/);
  });
});

Deno.test("memoryNetwork: a close that a stall held back arrives with the link", async () => {
  await withLink({}, async ({ connection, accepted, network, clock }) => {
    network.setLink("worker", "manager", "stalled");
    connection.close("going home");
    await clock.advance(3000);
    assert.equal(await connection.closed, undefined);
    network.setLink("worker", "manager", "up");
    assert.equal((await accepted.closed)?.code, "unavailable");
  });
});

Deno.test("memoryNetwork: a reset host breaks its connections, and others reach it again", async () => {
  await withLink({ "t.echo": echo }, async ({ connection, accepted, network, listener, clock }) => {
    network.resetHost("manager");
    assert.match((await connection.closed)!.message, /connection reset/);
    await accepted.closed;
    const dialer = network.dialer({ host: "worker", identity: () => identityOf("w1"), clock });
    const again = await dialer.dial(listener.address);
    assert.equal(await again.call("t.echo", 1), 1);
    again.close();
    await again.closed;
  });
});

Deno.test("memoryNetwork: dials are refused without listener and over a cut link, and time out over a stalled one", async () => {
  await withLink({}, async ({ network, listener, clock }) => {
    const dialer = network.dialer({ host: "worker", identity: () => undefined, clock });
    await assert.rejects(dialer.dial("nowhere:1"), { code: "unavailable" });
    network.setLink("worker", "manager", "cut");
    await assert.rejects(dialer.dial(listener.address), { code: "unavailable" });
    network.setLink("worker", "manager", "stalled");
    const late = assert.rejects(dialer.dial(listener.address, { timeoutMs: 100 }), {
      code: "deadline_exceeded",
    });
    await clock.advance(5000);
    await late;
    const controller = new AbortController();
    const canceled = assert.rejects(dialer.dial(listener.address, { signal: controller.signal }), {
      code: "canceled",
    });
    controller.abort();
    await clock.advance(5000);
    await canceled;
    network.setLink("worker", "manager", "up");
  });
});

Deno.test("Listener: limits on connections, with and without certificate, are told to the dialer", async () => {
  const clock = new FakeClock();
  const network = memoryNetwork();
  const limits = { maxConnections: 2, maxAnonymousConnections: 1, managerReserve: 0 };
  const identity = () => identityOf("m1", "swarm-manager");
  let waiting = false;
  const wait: Method = {
    kind: "unary",
    access: "anyone",
    handler: () => new Promise(() => waiting = true),
  };
  const router = routerOf({ "t.wait": wait });
  const listener = await network.listen({ listen: "m:0", identity, router, clock, limits });
  const dial = (nodeID?: string) =>
    network.dialer({ host: "w", identity: () => nodeID ? identityOf(nodeID) : undefined, clock }).dial(
      listener.address,
    );
  const open: Connection[] = [await dial()];
  const waits = open[0]!.call("t.wait", 1).catch(() => {});
  await until(() => waiting);
  await assert.rejects(dial(), { code: "resource_exhausted", message: /1 connections without certificate/ });
  open.push(await dial("w1"));
  await assert.rejects(dial("w2"), {
    code: "resource_exhausted",
    retryable: true,
    message: /2 connections are open/,
  });
  open[0]!.close();
  await until(() => listener.connections === 1);
  open.push(await dial("w2"));
  await listener.close();
  for (const connection of open) await connection.closed;
  await waits;
  assert.equal(clock.pending, 0);
});

Deno.test("Listener: what verifyPeer throws at either end is what dial throws", async () => {
  const clock = new FakeClock();
  const network = memoryNetwork();
  const refuse = (who: string) => (): never => {
    throw new CoveyError("permission_denied", `Cannot accept certificate: ${who} is on the blacklist`);
  };
  const identity = () => identityOf("m1", "swarm-manager");
  const listener = await network.listen({
    listen: "m:0",
    identity,
    router: routerOf({}),
    clock,
    verifyPeer: refuse("w1"),
  });
  const worker = { host: "w", identity: () => identityOf("w1"), clock };
  await assert.rejects(network.dialer(worker).dial(listener.address), {
    code: "permission_denied",
    message: /w1 is on/,
  });
  await assert.rejects(
    network.dialer({ ...worker, verifyPeer: refuse("m1") }).dial(listener.address),
    /m1 is on/,
  );
  await listener.close();
  assert.equal(clock.pending, 0);
});
