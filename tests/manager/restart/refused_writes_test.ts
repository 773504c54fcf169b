/** Restarts and delayed starts when single writes of the leader fail. */
import assert from "node:assert/strict";
import { CoveyError } from "../../../api/errors.ts";
import { flakyStore, type Flaw } from "../../support/flaky_store.ts";
import { Fleet } from "../orchestrator/harness.ts";

const REFUSED = new CoveyError("unavailable", "Cannot propose: refused proposal");

/** Fails every running task of a service at once: in one transaction, so that no commit of restarts is this one's too. */
async function failAll(fleet: Fleet, id: string): Promise<void> {
  await fleet.store.update((tx) => {
    for (const task of fleet.running(id)) {
      tx.update("tasks", { ...task, Status: { ...task.Status, State: "failed", Message: "failed" } });
    }
  });
}

Deno.test("RestartSupervisor: of 250 restarts, one refused commit leaves none waiting for its start", async () => {
  for (const nth of [1, 2, 3]) {
    await using fleet = await Fleet.of(["a", "b"]);
    const id = await fleet.replicated("web", 250);
    assert.equal(fleet.running(id).length, 250);
    // While no agent reports, only a commit of restarts speaks of tasks that are ready.
    fleet.agents.offline.add("a").add("b");
    let restarts = 0;
    fleet.consensus.beforeCommit = (entry) => {
      if (new TextDecoder().decode(entry).includes("ready") && ++restarts === nth) throw REFUSED;
    };
    await failAll(fleet, id);
    await fleet.clock.advance(3_000);
    assert.ok(restarts >= 3, `${restarts} commits of restarts`);
    fleet.consensus.beforeCommit = undefined;
    fleet.agents.offline.clear();
    fleet.agents.kick();
    await fleet.clock.advance(10_000);
    assert.equal(fleet.running(id).length, 250, `commit ${nth} refused`);
  }
});

/** Every second write fails, while a program fails until its attempts are used up. */
async function countRestarts(flaw: Flaw): Promise<void> {
  await using fleet = new Fleet(() => "failed");
  await fleet.node("a");
  let nth = 0;
  fleet.lead(flakyStore(fleet.store, () => ++nth % 2 === 0 ? flaw : undefined));
  const RestartPolicy = { MaxAttempts: 4, Delay: 1e9 };
  const id = await fleet.replicated("web", 1, { template: { RestartPolicy } });
  await fleet.clock.advance(120_000);
  assert.equal(fleet.all(id).length, 5);
  assert.deepEqual(fleet.wanted(id), []);
}

Deno.test("RestartSupervisor: a restart whose write is refused is counted once", () =>
  countRestarts("refused"));
Deno.test("RestartSupervisor: a restart whose write is lost is counted once", () => countRestarts("lost"));

Deno.test("RestartSupervisor: a replacement of whose write nobody heard waits the policy's delay", async () => {
  await using fleet = new Fleet();
  await fleet.node("a");
  let lose = false;
  fleet.lead(flakyStore(fleet.store, () => lose ? "lost" : undefined));
  const id = await fleet.replicated("web", 1, { template: { RestartPolicy: { Delay: 3e9 } } });
  lose = true;
  await fleet.agents.report(fleet.running(id)[0]!.ID, "failed");
  await fleet.clock.advance(2_900);
  lose = false;
  assert.equal(fleet.wanted(id)[0]!.DesiredState, "ready");
  await fleet.clock.advance(600);
  assert.equal(fleet.running(id).length, 1);
});
