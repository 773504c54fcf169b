import assert from "node:assert/strict";
import { CoveyError } from "../../../api/errors.ts";
import { NO_LEADER } from "../../../api/docker_texts.ts";
import {
  LeaderConnections,
  LINGER_MS,
  MAX_CALLS_PER_CONNECTION,
  MAX_LEADER_CONNECTIONS,
} from "../../../manager/forward/leader_connections.ts";
import { LEADER_WAIT_MS, LeaderLink } from "../../../manager/forward/leader_link.ts";
import { type Listener, type MemoryNetwork, memoryNetwork } from "../../../transport/mod.ts";
import { FakeClock, settle } from "../../support/fake_clock.ts";
import { identityOf, routerOf, until } from "../../support/transport.ts";
import { FakeGroup } from "./fake_group.ts";

interface Bench {
  clock: FakeClock;
  network: MemoryNetwork;
  group: FakeGroup;
  link: LeaderLink;
  listeners: Record<string, Listener>;
  /** Calls that arrived, as `manager request`. */
  seen: string[];
  /** Set to hold answers back. */
  gate: { hold: Promise<unknown> | undefined };
  ask(request: string, idempotent?: boolean, signal?: AbortSignal): Promise<string>;
}

/** m1's link, with m2 and m3 that answer `t.ask` by their name. */
async function withLink(leader: string | undefined, test: (bench: Bench) => Promise<void>): Promise<void> {
  const clock = new FakeClock(), network = memoryNetwork();
  const group = new FakeGroup({ m1: "m1:1", m2: "m2:1", m3: "m3:1" }, leader);
  const seen: string[] = [], listeners: Record<string, Listener> = {};
  const gate: Bench["gate"] = { hold: undefined };
  for (const id of ["m2", "m3"]) {
    const router = routerOf({
      "t.ask": {
        kind: "unary",
        access: "manager",
        handler: async (request) => {
          seen.push(`${id} ${request}`);
          await gate.hold;
          return id;
        },
      },
    });
    const identity = () => identityOf(id, "swarm-manager");
    listeners[id] = await network.listen({ listen: `${id}:1`, identity, router, clock });
  }
  const link = new LeaderLink({
    consensus: group.consensus.m1!,
    nodeID: "m1",
    clock,
    dialer: network.dialer({ host: "m1", identity: () => identityOf("m1", "swarm-manager"), clock }),
  });
  const ask: Bench["ask"] = (request, idempotent = false, signal) =>
    link.run({
      local: () => "here",
      remote: ({ connection }) => connection.call<string>("t.ask", request, signal ? { signal } : {}),
      idempotent,
      ...(signal && { signal }),
    });
  try {
    await test({ clock, network, group, link, listeners, seen, gate, ask });
  } finally {
    link.close();
    for (const id of ["m2", "m3"]) {
      network.resetHost(id);
      await listeners[id]!.close();
    }
    await clock.advance(5_000);
  }
  if (clock.pending > 0) throw new Error(`${clock.pending} timers are left`);
}

/** The error of a promise that must fail. */
function failure(promise: Promise<unknown>): Promise<CoveyError> {
  return promise.then((value) => assert.fail(`resolved with ${value}`), (error) => error);
}

Deno.test("LeaderLink: does the leader's work here on the leader, else at the leader, over one connection", async () => {
  await withLink("m1", async ({ group, ask, listeners }) => {
    assert.equal(await ask("a"), "here");
    group.elect("m2");
    assert.deepEqual(await Promise.all(["b", "c", "d"].map((each) => ask(each))), ["m2", "m2", "m2"]);
    assert.equal(listeners.m2!.connections, 1);
    group.elect("m3");
    assert.equal(await ask("e"), "m3");
    await until(() => listeners.m2!.connections === 0);
  });
});

Deno.test("LeaderLink: connects anew after the connection broke, without making a fresh call fail", async () => {
  await withLink("m2", async ({ network, ask, seen }) => {
    await ask("a");
    network.resetHost("m2");
    assert.equal(await ask("b"), "m2");
    assert.deepEqual(seen, ["m2 a", "m2 b"]);
  });
});

Deno.test("LeaderLink: waits while there is no leader and goes on as soon as there is one, itself included", async () => {
  await withLink(undefined, async ({ clock, group, ask }) => {
    const [first, second] = [ask("a"), ask("b")];
    await clock.advance(LEADER_WAIT_MS - 1);
    group.elect("m3");
    assert.deepEqual(await Promise.all([first, second]), ["m3", "m3"]);
    group.elect(undefined);
    const third = ask("c");
    await clock.advance(500);
    group.elect("m1");
    assert.equal(await third, "here");
  });
});

Deno.test("LeaderLink: without a leader fails with Docker's words, retryable, when the time is up", async () => {
  await withLink(undefined, async ({ clock, ask }) => {
    const failing = failure(ask("a"));
    let done = false;
    failing.then(() => done = true);
    await clock.advance(LEADER_WAIT_MS - 1);
    assert.equal(done, false);
    await clock.advance(1);
    const error = await failing;
    assert.deepEqual([error.code, error.retryable, error.message], ["unavailable", true, NO_LEADER]);
  });
});

Deno.test("LeaderLink: tries a leader that cannot be reached until it can, or names it when the time is up", async () => {
  await withLink("m2", async ({ clock, network, ask, seen }) => {
    network.setLink("m1", "m2", "cut");
    const lucky = ask("a");
    await clock.advance(LEADER_WAIT_MS / 2);
    network.setLink("m1", "m2", "up");
    await clock.advance(1_000);
    assert.equal(await lucky, "m2");
    network.setLink("m1", "m2", "cut");
    const failing = failure(ask("b"));
    await clock.advance(LEADER_WAIT_MS);
    const error = await failing;
    assert.deepEqual([error.code, error.retryable], ["unavailable", true]);
    assert.match(error.message, /^Cannot reach the leader m2 at m2:1: .*connection refused/);
    assert.deepEqual(seen, ["m2 a"]);
  });
});

Deno.test("LeaderLink: gives up a dial that hangs as soon as another manager leads", async () => {
  await withLink("m2", async ({ network, group, ask }) => {
    network.setLink("m1", "m2", "stalled");
    const asked = ask("a");
    await settle();
    group.elect("m3");
    assert.equal(await asked, "m3");
  });
});

Deno.test("LeaderLink: a connection that breaks under a call leaves its outcome unknown; only a repeatable call is repeated", async () => {
  await withLink("m2", async ({ clock, network, ask, seen, gate }) => {
    gate.hold = new Promise(() => {});
    const write = failure(ask("write")), read = ask("read", true);
    await until(() => seen.length === 2);
    gate.hold = undefined;
    network.resetHost("m2");
    const error = await write;
    assert.deepEqual([error.code, error.retryable], ["unknown", false]);
    assert.match(error.message, /^Cannot tell whether the leader did it/);
    await clock.advance(1_000);
    assert.equal(await read, "m2");
    assert.deepEqual(seen, ["m2 write", "m2 read", "m2 read"]);
  });
});

Deno.test("LeaderLink: a new leader takes over from one that hangs, after a moment for what it has nearly done", async () => {
  await withLink("m2", async ({ clock, network, group, ask, seen, gate }) => {
    const held = Promise.withResolvers<void>();
    gate.hold = held.promise;
    const finished = ask("finished in time");
    await until(() => seen.length === 1);
    group.elect("m3");
    held.resolve();
    assert.equal(await finished, "m2");
    gate.hold = undefined;
    group.elect("m2");
    await ask("warm up");
    network.setLink("m1", "m2", "stalled");
    const write = failure(ask("write")), read = ask("read", true);
    await settle();
    group.elect("m3");
    assert.equal(await ask("fresh"), "m3");
    await clock.advance(LINGER_MS);
    assert.equal((await write).code, "unknown");
    await clock.advance(1_000);
    assert.equal(await read, "m3");
    network.setLink("m1", "m2", "up");
  });
});

Deno.test("LeaderLink: the leader's own refusal is the answer, and is not tried again", async () => {
  await withLink("m2", async ({ link }) => {
    let calls = 0;
    const error = await failure(link.run({
      local: () => "here",
      remote: ({ connection }) => {
        calls++;
        return connection.call("t.none", null);
      },
      idempotent: true,
    }));
    assert.deepEqual([error.code, calls], ["unimplemented", 1]);
  });
});

Deno.test("LeaderLink: whoever answers at the leader's address must be the leader", async () => {
  await withLink("m2", async ({ clock, group, ask, seen, listeners }) => {
    group.members[1]!.address = "m3:1";
    const failing = failure(ask("a"));
    await clock.advance(LEADER_WAIT_MS);
    assert.match((await failing).message, /swarm-manager m3 answers there$/);
    assert.deepEqual([seen.length, listeners.m3!.connections], [0, 0]);
  });
});

Deno.test("LeaderLink: the caller's signal and closing the link end the wait", async () => {
  await withLink(undefined, async ({ link, ask }) => {
    const caller = new AbortController();
    const [left, closed] = [failure(ask("a", false, caller.signal)), failure(ask("b"))];
    await settle();
    caller.abort(new CoveyError("canceled", "gone"));
    assert.equal((await left).message, "gone");
    link.close();
    assert.deepEqual([(await closed).code, (await failure(ask("c"))).code], ["unavailable", "unavailable"]);
  });
});

Deno.test("LeaderLink: closing it ends the calls under way at once", async () => {
  await withLink("m2", async ({ link, ask, seen, gate }) => {
    gate.hold = new Promise(() => {});
    const asked = failure(ask("a"));
    await until(() => seen.length === 1);
    link.close();
    assert.equal((await asked).code, "unknown");
  });
});

Deno.test("LeaderConnections: a connection that turned out to be over is not given out again", async () => {
  await withLink(undefined, async ({ clock, network, listeners }) => {
    const identity = () => identityOf("m1", "swarm-manager");
    const dialer = network.dialer({ host: "m1", identity, clock });
    const connections = new LeaderConnections({ nodeID: "m2", address: "m2:1" }, dialer, clock);
    const first = await connections.lease({ withinMs: 1_000 });
    const second = await connections.lease({ withinMs: 1_000 });
    assert.equal(second.connection, first.connection);
    first.discard();
    const third = await connections.lease({ withinMs: 1_000 });
    assert.notEqual(third.connection, first.connection);
    await until(() => listeners.m2!.connections === 1);
    connections.retire(0);
  });
});

Deno.test("LeaderLink: more calls than one connection carries open another one, and all together are bounded", async () => {
  await withLink("m2", async ({ ask, seen, gate, listeners }) => {
    const held = Promise.withResolvers<void>();
    gate.hold = held.promise;
    const calls = Array.from({ length: MAX_CALLS_PER_CONNECTION + 1 }, () => ask("a"));
    await until(() => seen.length === calls.length);
    assert.equal(listeners.m2!.connections, 2);
    held.resolve();
    await Promise.all(calls);
    assert.ok(MAX_CALLS_PER_CONNECTION * MAX_LEADER_CONNECTIONS >= 2 * 10_000);
  });
});
