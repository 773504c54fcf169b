/** Scenario 69: the leader dies after the commit and before its answer; the client tries again through another manager. */
import assert from "node:assert/strict";
import { settle } from "../../support/fake_clock.ts";
import { processBody } from "../http/fake_node.ts";
import { type Quorum, withQuorum } from "./quorum.ts";

/** Asks m2 while m1 leads; the commit goes through, the answer gets lost, and m3 leads from then on. */
async function loseAnswer(quorum: Quorum, method: string, path: string, body: unknown) {
  const { managers, group, network, clock } = quorum;
  const held = Promise.withResolvers<void>();
  group.beforeCommit = () => held.promise;
  const asked = managers.m2!.call(method, path, body);
  await settle(20);
  network.setLink("m1", "m2", "cut");
  const { status, json } = await asked;
  assert.equal(status, 500);
  assert.match(json.message, /Cannot tell whether the leader did it/);
  held.resolve();
  group.beforeCommit = undefined;
  group.elect("m3");
  await clock.advance(5_000);
  network.setLink("m1", "m2", "up");
}

Deno.test("Retry: a creation that was done already is a conflict of names elsewhere (scenario 69)", async () => {
  await withQuorum(async (quorum) => {
    const { m2, m3 } = quorum.managers;
    await loseAnswer(quorum, "POST", "/services/create", processBody("web"));
    const again = await m2!.call("POST", "/services/create", processBody("web"));
    assert.equal(again.status, 409);
    assert.equal(m3!.store.count("services"), 1);
  });
});

Deno.test("Retry: an update that was done already is out of sequence elsewhere (scenario 69)", async () => {
  await withQuorum(async (quorum) => {
    const { m1, m2, m3 } = quorum.managers;
    const { json: { ID } } = await m1!.call("POST", "/services/create", processBody("web"));
    const { json: service } = await m2!.call("GET", `/services/${ID}`);
    const path = `/services/${ID}/update?version=${service.Version.Index}`;
    const body = { ...service.Spec, Labels: { changed: "once" } };
    await loseAnswer(quorum, "POST", path, body);
    const done = m3!.store.get("services", ID)!;
    assert.deepEqual(done.Spec.Labels, { changed: "once" });
    const again = await m2!.call("POST", path, body);
    assert.match(again.json.message, /update out of sequence/);
    assert.deepEqual(m3!.store.get("services", ID), done);
  });
});

Deno.test("Retry: a removal that was done already finds nothing elsewhere (scenario 69)", async () => {
  await withQuorum(async (quorum) => {
    const { m1, m2 } = quorum.managers;
    const { json: { ID } } = await m1!.call("POST", "/services/create", processBody("web"));
    await loseAnswer(quorum, "DELETE", `/services/${ID}`, undefined);
    assert.equal((await m2!.call("DELETE", `/services/${ID}`)).status, 404);
  });
});
