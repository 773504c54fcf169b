import assert from "node:assert/strict";
import {
  type AssignmentsMessage,
  DISPATCHER_METHODS,
  type HeartbeatResponse,
  type SessionMessage,
} from "../../../api/dispatcher.ts";
import type { CoveyError } from "../../../api/errors.ts";
import { LINGER_MS } from "../../../manager/forward/leader_connections.ts";
import type { Connection } from "../../../transport/mod.ts";
import { settle } from "../../support/fake_clock.ts";
import { identityOf, until } from "../../support/transport.ts";
import { DESCRIPTION, testTask } from "../dispatcher/harness.ts";
import { withQuorum } from "./quorum.ts";

const { session, heartbeat, assignments, updateTaskStatus } = DISPATCHER_METHODS;

function openSession(connection: Connection) {
  return connection.serverStream<SessionMessage>(session, { Description: DESCRIPTION })
    [Symbol.asyncIterator]();
}

function code(promise: Promise<unknown>): Promise<string> {
  return promise.then(() => "ok", (error: CoveyError) => error.code);
}

Deno.test("Agents: a session through a follower is the leader's, with the agent's identity and address", async () => {
  await withQuorum(async ({ clock, managers: { m1, m2 }, dial }) => {
    await m1!.store.update((tx) => tx.create("tasks", testTask("t1", "w1")));
    const connection = await dial("m2", identityOf("w1"));
    const messages = openSession(connection);
    const { SessionID, Node, Managers } = (await messages.next()).value as SessionMessage;
    assert.equal(Node.ID, "w1");
    assert.deepEqual(Managers.map(({ Addr }) => Addr), ["m1:2377", "m2:2377", "m3:2377"]);
    assert.deepEqual(m1!.store.get("nodes", "w1")!.Status, { State: "ready", Addr: "w1" });
    const beat = await connection.call<HeartbeatResponse>(heartbeat, { SessionID });
    assert.ok(beat.PeriodMs > 0);
    const sets = connection.serverStream<AssignmentsMessage>(assignments, { SessionID })
      [Symbol.asyncIterator]();
    assert.equal((await sets.next()).value.Changes[0].Task.ID, "t1");
    await m1!.store.update((tx) => tx.create("tasks", testTask("t2", "w1")));
    assert.equal((await sets.next()).value.Changes[0].Task.ID, "t2");
    const Status = { Timestamp: "2026-01-01T00:00:00Z", State: "running", Message: "started" };
    const report = connection.call(updateTaskStatus, { SessionID, Updates: [{ TaskID: "t1", Status }] });
    await clock.advance(1_000);
    await report;
    assert.equal(m2!.store.get("tasks", "t1")!.Status.State, "running");
    const other = await dial("m2", identityOf("w2"));
    assert.equal(await code(other.call(heartbeat, { SessionID })), "not_found");
  });
});

Deno.test("Agents: leaving a follower ends the session's streams at the leader", async () => {
  await withQuorum(async ({ clock, managers: { m1 }, group, dial }) => {
    for (const leaves of [true, false]) {
      group.elect("m1");
      const connection = await dial("m2", identityOf("w1"));
      await openSession(connection).next();
      if (leaves) connection.close();
      await settle(20);
      // Only m2 hears of another leader: it closes a connection at once if nothing is open on it.
      group.elect("m3", ["m2"]);
      await settle(20);
      assert.equal(m1!.listener.connections, leaves ? 0 : 1);
    }
    await clock.advance(LINGER_MS);
    assert.equal(m1!.listener.connections, 0);
  });
});

Deno.test("Agents: a leader change ends the session with unavailable, and the agent registers with the new leader", async () => {
  await withQuorum(async ({ clock, managers: { m3 }, group, dial }) => {
    const connection = await dial("m2", identityOf("w1"));
    const messages = openSession(connection);
    const { SessionID } = (await messages.next()).value as SessionMessage;
    const ended = code(messages.next());
    group.elect("m3");
    assert.equal(await ended, "unavailable");
    assert.equal(await code(connection.call(heartbeat, { SessionID })), "not_found");
    const renewed = openSession(connection);
    assert.notEqual(((await renewed.next()).value as SessionMessage).SessionID, SessionID);
    await clock.advance(100);
    assert.equal(m3!.store.get("nodes", "w1")!.Status.State, "ready");
  });
});

Deno.test("Agents: a leader that hangs loses its sessions to the next one", async () => {
  await withQuorum(async ({ clock, group, network, dial }) => {
    const connection = await dial("m2", identityOf("w1"));
    const messages = openSession(connection);
    await messages.next();
    const ended = code(messages.next());
    network.setLink("m1", "m2", "stalled");
    group.elect("m3", ["m2", "m3"]);
    const renewed = openSession(connection);
    assert.ok((await renewed.next()).value);
    await clock.advance(1_000);
    assert.equal(await ended, "unavailable");
    network.setLink("m1", "m2", "up");
  });
});

Deno.test("Agents: a session opened during an election waits for the leader, who may be the manager itself", async () => {
  await withQuorum(async ({ clock, group, dial }) => {
    group.elect(undefined);
    const waiting = ["w1", "w2"].map(async (id) => openSession(await dial("m2", identityOf(id))).next());
    await clock.advance(800);
    group.elect("m2");
    const nodes = (await Promise.all(waiting)).map(({ value }) => (value as SessionMessage).Node.ID);
    assert.deepEqual(nodes, ["w1", "w2"]);
  });
});

Deno.test("Agents: no one but a manager speaks for others, and a forged address changes nothing", async () => {
  await withQuorum(async ({ managers: { m1 }, dial }) => {
    const forwarded = { RemoteAddress: "203.0.113.9:1", Request: { Description: DESCRIPTION } };
    const forge = async (peer: ReturnType<typeof identityOf> | undefined, manager: string) => {
      const connection = await dial(manager, peer);
      const options = { forwardedFor: identityOf("w2") };
      return code(connection.serverStream(session, forwarded, options)[Symbol.asyncIterator]().next());
    };
    for (const manager of ["m1", "m2"]) {
      assert.equal(await forge(identityOf("w1"), manager), "permission_denied");
      assert.equal(await forge(undefined, manager), "permission_denied");
      const own = (await dial(manager, identityOf("w1"))).serverStream(session, forwarded);
      assert.equal(await code(own[Symbol.asyncIterator]().next()), "invalid_argument");
    }
    assert.equal(m1!.store.get("nodes", "w2")!.Status.State, "unknown");
    const bare = (await dial("m1", identityOf("m3", "swarm-manager"))).call(heartbeat, { SessionID: "x" }, {
      forwardedFor: identityOf("w1"),
    });
    assert.equal(await code(bare), "invalid_argument");
  });
});

Deno.test("Agents: a handed-on call that reaches a follower goes no further", async () => {
  await withQuorum(async ({ managers: { m1 }, dial }) => {
    const connection = await dial("m2", identityOf("m3", "swarm-manager"));
    const request = { RemoteAddress: "w1:1", Request: { SessionID: "x" } };
    const error = await connection.call(heartbeat, request, { forwardedFor: identityOf("w1") })
      .then(() => assert.fail(), (error: CoveyError) => error);
    assert.deepEqual([error.code, error.retryable], ["unavailable", true]);
    await until(() => m1!.listener.connections === 0);
  });
});

Deno.test("Agents: a manager that asked the wrong leader asks the right one once it knows it", async () => {
  await withQuorum(async ({ clock, group, dial }) => {
    group.elect("m2", ["m3"]);
    const messages = openSession(await dial("m3", identityOf("w1")));
    const first = messages.next();
    await clock.advance(300);
    group.elect("m1");
    assert.equal(((await first).value as SessionMessage).Node.ID, "w1");
  });
});

Deno.test("Agents and managers: every call says who may make it, on every manager alike", async () => {
  await withQuorum(({ managers: { m1, m2 } }) => {
    const table = m1!.router.methods().map(({ name, kind, access }) => `${name} ${kind} ${access}`);
    assert.deepEqual(table, [
      "ca.getRootCACertificate unary anyone",
      "ca.issueNodeCertificate unary anyone",
      "control.request server_stream manager",
      "control.stream duplex manager",
      "dispatcher.assignments server_stream node",
      "dispatcher.drained unary node",
      "dispatcher.heartbeat unary node",
      "dispatcher.loaded unary node",
      "dispatcher.publishLogs unary node",
      "dispatcher.relay duplex node",
      "dispatcher.renewSeals unary node",
      "dispatcher.session server_stream node",
      "dispatcher.stream duplex node",
      "dispatcher.updateTaskStatus unary node",
    ]);
    assert.deepEqual(m2!.router.methods(), m1!.router.methods());
    return Promise.resolve();
  });
});
