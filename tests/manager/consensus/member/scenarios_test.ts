/** Scenarios of `docs/reliability.md` that need several real members and their disks. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { Encoder } from "cbor-x/index-no-eval";
import { CoveyError } from "../../../../api/errors.ts";
import type { StateMachine } from "../../../../manager/consensus/state_machine.ts";
import { service } from "../../store/objects.ts";
import { MemoryQuorum, withThree } from "./memory_quorum.ts";

Deno.test("Quorum: what hangs in a leader's writer is answered when another leads, and others write on (scenario 20)", () =>
  withThree(async (quorum) => {
    await quorum.write("before");
    const stuck = await quorum.elect();
    const { store, member } = quorum.running.get(stuck)!;
    quorum.disks.get(stuck)!.hangs = true;
    const answers: string[] = [];
    const ask = (name: string) =>
      store.update((tx) => tx.create("services", service(name)))
        .then(() => "done", (thrown) => CoveyError.from(thrown).code).then((answer) => answers.push(answer));
    void ask("first");
    await quorum.clock.advance(50);
    // The writer works for the first one; these wait for it.
    for (const name of ["second", "third"]) void ask(name);
    await quorum.until("another leads", () => (quorum.leader ?? stuck) !== stuck);
    await quorum.until("everybody has an answer", () => answers.length === 3);
    assert.deepEqual(
      answers.slice(1),
      ["unavailable", "unavailable"],
      "nothing was done for those who waited",
    );
    assert.ok(["done", "unknown"].includes(answers[0]!), String(answers));
    assert.equal(member.status().isLeader, false);
    await quorum.write("after");
    await quorum.kill(stuck);
    quorum.disks.get(stuck)!.hangs = false;
    await quorum.start(stuck);
    const names = quorum.names((await quorum.elect())!);
    await quorum.agree(...names);
    assert.deepEqual(names.filter((name) => name !== "first"), ["after", "before"]);
  }));

Deno.test("Quorum: one entry is bad on all disks: nobody starts, each says which, and none skips it (scenario 59)", async () => {
  const quorum = await MemoryQuorum.ofThree();
  for (const name of ["a", "b", "c"]) await quorum.write(name);
  await quorum.agree("a", "b", "c");
  const { appliedIndex } = quorum.running.get(await quorum.elect())!.member.status();
  const all = ["m1", "m2", "m3"], key = ["log", appliedIndex - 1, 0];
  for (const id of all) await quorum.kill(id);
  for (const id of all) quorum.disks.get(id)!.flip(key);
  for (let round = 0; round < 2; round++) {
    for (const id of all) {
      await assert.rejects(quorum.start(id), { code: "data_loss", message: new RegExp(key.join("/")) });
    }
  }
  // Two disks that are whole again are enough; the third member still does not pretend.
  for (const id of ["m1", "m2"]) {
    quorum.disks.get(id)!.flip(key);
    await quorum.start(id);
  }
  await assert.rejects(quorum.start("m3"), { code: "data_loss" });
  await quorum.write("d");
  await quorum.agree("a", "b", "c", "d");
  await quorum.close();
});

Deno.test("Quorum: the leader dies between commit and answer; asked again elsewhere it is done once (scenario 69)", async () => {
  const quorum = await MemoryQuorum.ofThree({ checkpointBytes: 200_000 });
  await quorum.write("changed");
  const leader = await quorum.elect();
  const { store } = quorum.running.get(leader)!;
  const seen = store.get("services", "changed")!;
  let killed: Promise<void> | undefined;
  store.subscribe(() => killed ??= quorum.kill(leader));
  const relabel = { ...seen, Spec: { ...seen.Spec, Labels: { round: "first" } } };
  const [creation, update] = [
    store.update((tx) => tx.create("services", service("id-1", "web"))),
    store.update((tx) => tx.update("services", relabel)),
  ];
  // Whether they hear of it or not, the clients do not: the leader is gone.
  creation.catch(() => {});
  update.catch(() => {});
  await quorum.until("it is committed", () => killed !== undefined);
  await killed;

  const next = quorum.running.get(await quorum.elect())!;
  const again = (work: Parameters<typeof next.store.update>[0]) => quorum.settle(next.store.update(work));
  await assert.rejects(again((tx) => tx.create("services", service("id-2", "web"))), {
    code: "already_exists",
  });
  await assert.rejects(again((tx) => tx.update("services", relabel)), { code: "aborted" });
  await quorum.agree("changed", "id-1");

  // What tells the second request from the first is in snapshots too.
  const BIG = { data: "x".repeat(50_000) };
  for (let n = 0; n < 30; n++) await quorum.write(`big${n}`, BIG);
  const { store: copied } = await quorum.join("m4");
  await quorum.until("m4 has everything", () => copied.count("services") === next.store.count("services"));
  const versions = (of: typeof copied) => of.all("services").map(({ ID, Version }) => [ID, Version.Index]);
  assert.deepEqual(versions(copied), versions(next.store));
  assert.deepEqual(copied.get("services", "changed")!.Spec.Labels, { round: "first" });
  await quorum.close();
});

/** A change of a kind that only a later version would know. */
const LATER = new Encoder({ useRecords: false, mapsAsObjects: true, variableMapSize: true })
  .encode([99, { a: "c", t: "volumes", o: { ID: "v" } }]);

/** Members of the later version: they know what the others do not. */
function later(quorum: MemoryQuorum, ids: Set<string>): void {
  quorum.onStore = (id, store) => {
    if (!ids.has(id)) return;
    const machine = store as unknown as StateMachine;
    const apply = machine.apply.bind(machine);
    machine.apply = (index, entry, local) => {
      if (Buffer.from(entry).equals(LATER)) return;
      apply(index, entry, local);
    };
  };
}

Deno.test("Quorum: a later version's leader writes what older members do not know: they stop, and go on when upgraded (scenario 73)", async () => {
  const quorum = new MemoryQuorum();
  const upgraded = new Set(["m1"]);
  later(quorum, upgraded);
  await quorum.start("m1");
  for (const id of ["m2", "m3"]) await quorum.join(id);
  await quorum.write("before");
  await quorum.agree("before");
  const stopped: string[] = [];
  for (const id of ["m2", "m3"]) {
    void quorum.running.get(id)!.member.failed.then(({ message }) => stopped.push(`${id}: ${message}`));
  }
  quorum.running.get("m1")!.member.propose(LATER).catch(() => {});
  await quorum.until("the older ones stop", () => stopped.length === 2);
  for (const line of stopped) assert.match(line, /Cannot read change c of volumes/);
  // Skipping it would let them go on; so the cluster waits for somebody who knows.
  await quorum.kill("m3");
  await quorum.start("m3");
  await quorum.clock.advance(3_000);
  upgraded.add("m2");
  await quorum.kill("m2");
  await quorum.start("m2");
  await quorum.write("after");
  assert.deepEqual(quorum.names("m2"), ["after", "before"]);
  assert.deepEqual(quorum.names("m3"), ["before"]);
  await quorum.close();
});
