/** Seals of secrets that only devices can read: who may renew which, and what a node is told. */
import assert from "node:assert/strict";
import { ASSIGNMENT_KINDS, type AssignmentsMessage, type RenewedSeal } from "../../../api/dispatcher.ts";
import type { Secret } from "../../../api/dependency.ts";
import { removeNode } from "../../../manager/control/nodes.ts";
import { createPayload, putSeals, removePayload, sealPayload } from "../../../manager/control/payloads.ts";
import { FakeClock, settle } from "../../support/fake_clock.ts";
import { testStore } from "../../support/store.ts";
import { makeCluster } from "../orchestrator/harness.ts";
import {
  DirectConnection,
  openSession,
  Reader,
  seededRandom,
  testDispatcher,
  testNode,
  testTask,
} from "./harness.ts";

const SEAL = "0".repeat(32),
  OLD = "1".repeat(64),
  NEW = "2".repeat(64),
  wrapped = (letter: string) => letter.repeat(168);
const certificate = (PublicKeyDigest: string) => ({
  PublicKeyDigest,
  Role: "worker" as const,
  IssuedAt: "",
  ExpiresAt: "",
});

/** Two nodes, each with a task that needs the sealed secret, of which the first has renewed its key. */
async function fixture() {
  const clock = new FakeClock(), { store, consensus } = testStore({ clock });
  await store.update((tx) => {
    tx.create("clusters", makeCluster(5));
    tx.create("nodes", { ...testNode("n1"), Certificate: certificate(NEW) });
    tx.create("nodes", { ...testNode("n2"), Certificate: certificate(OLD) });
  });
  const spec = { Name: "s", Labels: {}, Data: "YQ==", Sealed: { ID: SEAL, Labels: { site: "a" } } };
  const seals = [{ NodeID: "n1", PublicKeyDigest: OLD, Wrapped: wrapped("a") }];
  const id = await createPayload(store, seededRandom(), "secret", spec, seals);
  const File = { Name: "s", UID: "0", GID: "0", Mode: 0o444 };
  const Spec = {
    ProcessSpec: { Command: "x", Secrets: [{ SecretID: id, SecretName: "s", File }] },
    ForceUpdate: 0,
    Runtime: "process",
  };
  await store.update((tx) => {
    for (const node of ["n1", "n2"]) tx.create("tasks", testTask(`t-${node}`, node, { Spec }));
  });
  const { dispatcher } = await testDispatcher(store, clock);
  const open = async (node: string) => {
    const connection = new DirectConnection(dispatcher.methods(), node);
    const { last: { SessionID } } = await openSession(connection);
    const renew = (Seals: unknown) => connection.call("dispatcher.renewSeals", { SessionID, Seals });
    const request = { SessionID, Kinds: ASSIGNMENT_KINDS };
    const reader = new Reader(connection.serverStream<AssignmentsMessage>("dispatcher.assignments", request));
    await settle();
    return { connection, renew, reader };
  };
  const wrappedFor = (node: string) => store.get("seals", `${id}.${node}`)?.Wrapped;
  const renewed: RenewedSeal = { SecretID: id, SealID: SEAL, PublicKeyDigest: NEW, Wrapped: wrapped("b") };
  return { clock, store, consensus, dispatcher, id, open, wrappedFor, renewed };
}

const sealsIn = (messages: AssignmentsMessage[]) =>
  messages.flatMap(({ Changes }) => Changes).flatMap((change) =>
    change.Action === "update" && change.Kind === "secret" ? [change.Payload.Sealed!.Wrapped] : []
  );

Deno.test("Seals: a node renews its own, for the key that it has now, and nobody else's", async () => {
  const { dispatcher, open, wrappedFor, renewed } = await fixture();
  const one = await open("n1"), two = await open("n2");
  await one.renew([{ ...renewed, PublicKeyDigest: "3".repeat(64) }, { ...renewed, SealID: "4".repeat(32) }]);
  assert.equal(wrappedFor("n1"), wrapped("a"));
  await one.renew([renewed]);
  assert.equal(wrappedFor("n1"), wrapped("b"));
  // What is there for the present key stays, and who had none cannot give itself one.
  await one.renew([{ ...renewed, Wrapped: wrapped("c") }]);
  await two.renew([{ ...renewed, PublicKeyDigest: OLD }]);
  assert.deepEqual([wrappedFor("n1"), wrappedFor("n2")], [wrapped("b"), undefined]);
  await assert.rejects(one.renew([{ ...renewed, Wrapped: "w".repeat(1000) }, 7]), {
    code: "invalid_argument",
  });
  for (const { connection } of [one, two]) connection.close();
  await dispatcher.stop();
});

Deno.test("Seals: a node that the secret is sealed for later is told so at once, and only it", async () => {
  const { clock, dispatcher, store, id, open } = await fixture();
  const one = await open("n1"), two = await open("n2");
  assert.deepEqual([sealsIn(one.reader.messages), sealsIn(two.reader.messages)], [[wrapped("a")], [
    undefined,
  ]]);
  const [before, after] = [one.reader.messages.length, two.reader.messages.length];
  await sealPayload(store, id, undefined, [{ NodeID: "n2", PublicKeyDigest: OLD, Wrapped: wrapped("d") }]);
  await clock.advance(200);
  assert.equal(one.reader.messages.length, before);
  assert.deepEqual(sealsIn(two.reader.messages.slice(after)), [wrapped("d")]);
  for (const { connection } of [one, two]) connection.close();
  await dispatcher.stop();
});

Deno.test("Seals: go with their secret and with their node; an open secret has none", async () => {
  const { clock, consensus, dispatcher, store, id } = await fixture();
  await dispatcher.stop();
  const open = await createPayload(store, seededRandom(9), "secret", { Name: "o", Labels: {}, Data: "YQ==" });
  const seal = { NodeID: "n2", PublicKeyDigest: OLD, Wrapped: wrapped("a") };
  await assert.rejects(sealPayload(store, open, undefined, [seal]), { code: "failed_precondition" });
  const put = (spec: Secret["Spec"], node: string) =>
    store.update((tx) => putSeals(tx, id, spec, [{ ...seal, NodeID: node }]));
  const { Spec } = store.get("secrets", id)!;
  await assert.rejects(put(Spec, "nobody"), /node nobody not found/);
  await put(Spec, "n2");
  await removeNode(store, clock, consensus, "n2", true);
  assert.deepEqual(store.all("seals").map(({ NodeID }) => NodeID), ["n1"]);
  await removePayload(store, "secret", id);
  assert.equal(store.count("seals"), 0);
});
