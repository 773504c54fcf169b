/** Requests that come while the leader hands over: they wait for the next one, as during an election. */
import assert from "node:assert/strict";
import { CoveyError } from "../../../api/errors.ts";
import { LEADER_WAIT_MS } from "../../../manager/forward/leader_link.ts";
import { processBody } from "../http/fake_node.ts";
import { type Quorum, withQuorum } from "./quorum.ts";

/** Asks while m1 hands over; `then` happens 600 ms later. */
async function during(
  { group, clock }: Quorum,
  ask: () => Promise<{ status: number; json: { message: string } }>,
  then: () => void,
) {
  group.handsOver = true;
  const asked = ask();
  let answered = false;
  asked.then(() => answered = true);
  await clock.advance(600);
  assert.equal(answered, false, "it waits");
  then();
  await clock.advance(2_000);
  return await asked;
}

for (const through of ["m1", "m2", "m3"]) {
  Deno.test(`Handover: a creation through ${through} waits for the new leader and is done once`, () =>
    withQuorum(async (quorum) => {
      const { managers, group } = quorum;
      const { status } = await during(
        quorum,
        () => managers[through]!.call("POST", "/services/create", processBody("web")),
        () => group.elect("m2"),
      );
      assert.equal(status, 201);
      assert.equal(managers.m2!.store.count("services"), 1);
    }));

  Deno.test(`Handover: a read through ${through} waits too`, () =>
    withQuorum(async (quorum) => {
      const { managers, group } = quorum;
      await managers.m1!.call("POST", "/services/create", processBody("web"));
      const { status, json } = await during(
        quorum,
        () => managers[through]!.call("GET", "/services"),
        () => group.elect("m2"),
      );
      assert.deepEqual([status, json], [200, (await managers.m2!.call("GET", "/services")).json]);
    }));

  Deno.test(`Handover: one that comes to nothing goes on at the old leader, through ${through}`, () =>
    withQuorum(async (quorum) => {
      const { managers, group } = quorum;
      const { status } = await during(
        quorum,
        () => managers[through]!.call("POST", "/services/create", processBody("web")),
        () => group.handsOver = false,
      );
      assert.equal(status, 201);
      assert.equal(managers.m1!.store.count("services"), 1);
    }));

  Deno.test(`Handover: a request through ${through} waits no longer than during an election`, () =>
    withQuorum(async ({ managers, group, clock }) => {
      group.handsOver = true;
      const asked = managers[through]!.call("POST", "/services/create", processBody("web"));
      await clock.advance(LEADER_WAIT_MS + 2_000);
      const { status, json } = await asked;
      assert.deepEqual([status, /leader/.test(json.message)], [503, true], json.message);
      group.elect("m1");
      assert.equal(managers.m1!.store.count("services"), 0);
    }));
}

Deno.test("Handover: a new join token and the rest of an update come together or not at all", () =>
  withQuorum(async (quorum) => {
    const { managers: { m1, m2 }, group } = quorum;
    const before = (await m1!.call("GET", "/swarm")).json;
    const path = `/swarm/update?version=${before.Version.Index}&rotateWorkerToken=true`;
    const spec = { ...before.Spec, Orchestration: { TaskHistoryRetentionLimit: 3 } };
    const { status } = await during(quorum, () => m1!.call("POST", path, spec), () => group.elect("m2"));
    assert.equal(status, 200);
    const after = (await m2!.call("GET", "/swarm")).json;
    assert.equal(after.Spec.Orchestration.TaskHistoryRetentionLimit, 3);
    assert.notEqual(after.JoinTokens.Worker, before.JoinTokens.Worker);
    assert.equal(after.JoinTokens.Manager, before.JoinTokens.Manager);
  }));

Deno.test("Handover: what may have been done is not done again", () =>
  withQuorum(async ({ managers: { m1, m3 }, group }) => {
    let tried = 0;
    group.beforeCommit = () => {
      tried++;
      throw new CoveyError("unknown", "Cannot tell the outcome: leadership was lost before the commit");
    };
    for (const [nth, manager] of [m1, m3].entries()) {
      const { status } = await manager!.call("POST", "/services/create", processBody("web"));
      assert.deepEqual([status, tried], [500, nth + 1]);
    }
  }));
