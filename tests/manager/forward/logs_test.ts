/** Logs where neither the client nor the device is connected to the leader. */
import assert from "node:assert/strict";
import { DISPATCHER_METHODS, type SessionMessage } from "../../../api/dispatcher.ts";
import { logTime } from "../../../api/logs.ts";
import type { Connection } from "../../../transport/mod.ts";
import { settle } from "../../support/fake_clock.ts";
import { identityOf } from "../../support/transport.ts";
import { DESCRIPTION, testTask } from "../dispatcher/harness.ts";
import { request } from "../http/fake_node.ts";
import { withQuorum } from "./quorum.ts";

const PATH = "/tasks/t1/logs?stdout=1&stderr=1&follow=1&timestamps=1&details=1";
const DETAILS = "com.docker.swarm.node.id=w1,com.docker.swarm.service.id=service,com.docker.swarm.task.id=t1";

/** What a session says, as it comes. */
function follow(connection: Connection) {
  const seen: SessionMessage[] = [];
  void (async () => {
    const request = { Description: DESCRIPTION, Answers: ["logs"] };
    const messages = connection.serverStream<SessionMessage>(DISPATCHER_METHODS.session, request);
    for await (const message of messages) seen.push(message);
  })().catch(() => {});
  return seen;
}

Deno.test("Logs: a client at one follower reads what a device at another one sends, piece by piece", () =>
  withQuorum(async ({ managers: { m1, m3 }, dial }) => {
    await m1!.store.update((tx) => tx.create("tasks", testTask("t1", "w1")));
    const connection = await dial("m2", identityOf("w1")), seen = follow(connection);
    await settle(20);
    const response = await request(m3!.api, PATH);
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("content-type"), "application/vnd.docker.multiplexed-stream");
    const body = response.body!.getReader();
    await settle(20);
    const { SessionID, Asks } = seen.at(-1)!;
    let Seq = 0;
    const push = (texts: string[]) => {
      const Entries = texts.map((text, i) => ({
        TaskID: "t1",
        Stream: i % 2 ? "stderr" : "stdout",
        Time: logTime(i),
        Data: new TextEncoder().encode(`${text}\n`),
      }));
      const answer = { SessionID, AskID: Asks![0]!.ID, Run: "run", Seq: ++Seq, Entries, CaughtUp: true };
      return connection.call(DISPATCHER_METHODS.publishLogs, answer);
    };
    await push(["out", "err"]);
    const frames: [number, string][] = [];
    while (frames.length < 2) {
      const { value } = await body.read();
      for (let at = 0; at < value!.length;) {
        const length = new DataView(value!.buffer, value!.byteOffset + at).getUint32(4);
        const text = new TextDecoder().decode(value!.subarray(at + 8, at + 8 + length));
        frames.push([value![at]!, text]);
        at += 8 + length;
      }
    }
    assert.deepEqual(frames, [
      [1, `1970-01-01T00:00:00.000000000Z ${DETAILS} out\n`],
      [2, `1970-01-01T00:00:00.001000000Z ${DETAILS} err\n`],
    ]);
    // The client leaves, and the device hears of it.
    await body.cancel();
    await settle(40);
    assert.equal(seen.at(-1)!.Asks, undefined);
    assert.deepEqual(await push(["too late"]), { Over: true });
  }));

Deno.test("Logs: a client that does not read holds the device back through two followers, and no memory fills", () =>
  withQuorum(async ({ managers: { m1, m3 }, dial }) => {
    await m1!.store.update((tx) => tx.create("tasks", testTask("t1", "w1")));
    const connection = await dial("m2", identityOf("w1")), seen = follow(connection);
    await settle(20);
    const response = await request(m3!.api, PATH);
    await settle(20);
    const { SessionID, Asks } = seen.at(-1)!;
    let taken = 0, stopped = false;
    const flood = (async () => {
      const Data = new Uint8Array(16_000);
      for (let Seq = 1; Seq <= 200; Seq++) {
        const entry = { TaskID: "t1", Stream: "stdout", Time: logTime(Seq), Data };
        const push = { SessionID, AskID: Asks![0]!.ID, Run: "r", Seq, Entries: [entry, entry, entry] };
        const answer = await connection.call<{ Over?: true }>(DISPATCHER_METHODS.publishLogs, push);
        if (answer.Over) break;
        taken += 3 * Data.length;
      }
      stopped = true;
    })();
    await settle(200);
    assert.equal(stopped, false);
    // The window of the stream between two managers, and a push here and there.
    assert.ok(taken > 0 && taken <= 600_000, `${taken} bytes were taken`);
    await response.body!.cancel();
    await settle(40);
    await flood;
  }));
