/** Whatever single write of the leader fails while it goes on leading, the cluster comes to the same end. */
import assert from "node:assert/strict";
import { isTerminal } from "../../../api/task_state.ts";
import { flakyStore, type Flaw } from "../../support/flaky_store.ts";
import { Fleet, versionOf } from "./harness.ts";

const PATIENCE_MS = 30_000;

/** A life of some services on three nodes, in which every component writes; `flaw` is asked at each write. */
async function live(flaw: () => Flaw | undefined): Promise<void> {
  await using fleet = new Fleet();
  for (const id of ["a", "b", "c"]) await fleet.node(id);
  fleet.lead(flakyStore(fleet.store, flaw));
  const policy = { template: { RestartPolicy: { Delay: 1e9 } } };
  const web = await fleet.replicated("web", 4, policy);
  const probe = await fleet.global("probe", policy);
  const first = await fleet.replicated("first", 2, {
    ...policy,
    UpdateConfig: { Parallelism: 1, Order: "start-first" },
  });
  const gone = await fleet.replicated("gone", 3);
  await fleet.clock.advance(PATIENCE_MS);
  assert.equal(fleet.running(web).length, 4);
  assert.equal(fleet.running(probe).length, 3);

  for (const id of [web, probe]) await fleet.agents.report(fleet.running(id)[0]!.ID, "failed");
  await fleet.clock.advance(PATIENCE_MS);
  assert.equal(fleet.running(web).length, 4, "what failed was replaced");
  assert.equal(fleet.running(probe).length, 3);

  await fleet.release(web, "v2");
  await fleet.release(probe, "v2");
  await fleet.release(first, "v2");
  await fleet.clock.advance(2 * PATIENCE_MS);
  assert.deepEqual(fleet.versions(web), { v2: 4 });
  assert.deepEqual(fleet.versions(probe), { v2: 3 });
  assert.deepEqual(fleet.versions(first), { v2: 2 });
  for (const id of [web, probe, first]) assert.equal(fleet.service(id).UpdateStatus?.State, "completed");

  await fleet.availability("a", "drain");
  await fleet.clock.advance(PATIENCE_MS);
  assert.equal(fleet.placement(web)["a"], undefined);
  assert.equal(fleet.placement(probe)["a"], undefined);
  assert.equal(fleet.running(web).length, 4);
  await fleet.availability("a", "active");

  await fleet.scale(web, 2);
  await fleet.store.update((tx) => tx.delete("services", gone));
  await fleet.clock.advance(2 * PATIENCE_MS);
  assert.equal(fleet.running(web).length, 2);
  assert.equal(fleet.running(probe).length, 3);
  assert.deepEqual(fleet.all(gone), [], "nothing is left of a service that was removed");
  for (const task of fleet.store.all("tasks")) {
    const stuck = task.DesiredState === "ready" || (task.DesiredState === "remove");
    assert.ok(
      !stuck,
      `task ${task.ID} of ${versionOf(task)} is ${task.Status.State}, wanted ${task.DesiredState}`,
    );
    if (task.DesiredState === "shutdown") assert.ok(isTerminal(task.Status.State));
  }
}

async function writesOf(life: typeof live): Promise<number> {
  let writes = 0;
  await life(() => (writes++, undefined));
  return writes;
}

/** Each write of the life has its turn to fail, and then every third one does. */
async function failEach(flaw: Flaw): Promise<void> {
  const writes = await writesOf(live);
  assert.ok(writes > 20, `there are ${writes} writes`);
  for (let nth = 1; nth <= writes; nth++) {
    let at = 0;
    await live(() => ++at === nth ? flaw : undefined).catch((cause) => {
      throw new Error(`write ${nth} of ${writes}, ${flaw}`, { cause });
    });
  }
  for (const offset of [0, 1, 2]) {
    let at = offset;
    await live(() => ++at % 3 === 0 ? flaw : undefined);
  }
}

Deno.test("Leader components: any write that is refused changes nothing in the end", () =>
  failEach("refused"));
Deno.test("Leader components: any write of which half is refused changes nothing in the end", () =>
  failEach("half"));
Deno.test("Leader components: any write whose answer is lost changes nothing in the end", () =>
  failEach("lost"));
