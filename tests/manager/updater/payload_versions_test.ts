/** New versions of secrets and configs: who gets them and how, and how long the old ones stay. */
import assert from "node:assert/strict";
import { DEPENDENCY_KINDS, type DependencyKind, type PayloadSpec } from "../../../api/dependency.ts";
import type { Task } from "../../../api/task.ts";
import { addVersion } from "../../../manager/control/payload_versions.ts";
import { createPayload, removePayload, requireDependencies } from "../../../manager/control/payloads.ts";
import { rollbackService } from "../../../manager/control/services.ts";
import { VersionReaper } from "../../../manager/orchestrator/mod.ts";
import { Fleet } from "../orchestrator/harness.ts";

const base64 = (text: string) => new TextEncoder().encode(text).toBase64();
const FILE = { Name: "settings", UID: "0", GID: "0", Mode: 0o444 };

async function withUser(kind: DependencyKind, bad: (task: Task) => boolean = () => false) {
  const fleet = new Fleet((task) => bad(task) ? "failed" : "running");
  for (const id of ["d0", "d1", "d2"]) await fleet.node(id);
  fleet.lead();
  const reaper = new VersionReaper(fleet);
  reaper.start();
  const id = await createPayload(fleet.store, fleet.random, kind, {
    Name: "settings",
    Labels: { a: "b" },
    Data: base64("1"),
  });
  const references = kind === "secret"
    ? { Secrets: [{ SecretID: id, SecretName: "settings", File: FILE, Env: "X" }] }
    : { Configs: [{ ConfigID: id, ConfigName: "settings", File: FILE }] };
  const template = { ProcessSpec: { Command: "run", ...references } };
  const UpdateConfig = { Parallelism: 1, Delay: 10e9, FailureAction: "rollback" as const };
  const service = await fleet.global("app", { template, UpdateConfig });
  const add = async (text: string, name = id) => {
    const outcome = await addVersion(fleet.store, fleet, kind, name, { Data: base64(text) });
    await fleet.clock.advance(0);
    return outcome;
  };
  const table = kind === "secret" ? "secrets" as const : "configs" as const;
  const names = () => fleet.store.all(table).map(({ Spec }) => Spec.Name).sort();
  const close = () => reaper.stop();
  return { fleet, reaper, id, service, template, add, names, close, table };
}

const usedBy = (task: Task) => {
  const { Secrets, Configs } = task.Spec.ProcessSpec!;
  return Secrets?.[0]?.SecretID ?? Configs![0]!.ConfigID;
};

for (const kind of DEPENDENCY_KINDS) {
  Deno.test(`Versions: a new version of a ${kind} is rolled out under its users' policy, and the old one goes with its last use`, async () => {
    const { fleet, id, service, add, names, close, table } = await withUser(kind);
    await using _ = fleet;
    const { ID, Updated } = await add("2");
    assert.deepEqual(Updated, ["app"]);
    assert.deepEqual(names(), ["settings", "settings.1"]);
    const newest = fleet.store.get(table, ID)!;
    assert.deepEqual(
      newest.Spec,
      { Name: "settings", Labels: { a: "b" }, Data: base64("2") } satisfies PayloadSpec,
    );
    assert.deepEqual(newest.Edition, { Of: "settings", Number: 2 });
    await fleet.clock.advance(5000);
    const counts = () => Map.groupBy(fleet.running(service), usedBy);
    assert.equal(counts().get(ID)?.length, 1, "one at a time");
    await fleet.clock.advance(60_000);
    assert.equal(counts().get(ID)?.length, 3);
    // The service can still be rolled back to it.
    assert.deepEqual(names(), ["settings", "settings.1"]);
    await add("3", ID);
    await fleet.clock.advance(120_000);
    assert.deepEqual(names(), ["settings", "settings.2"]);
    assert.equal(fleet.store.get(table, id), undefined);
    const { index } = fleet.store;
    await fleet.clock.advance(120_000);
    assert.equal(fleet.store.index, index, "idle means no writes");
    await close();
  });
}

Deno.test("Versions: one that fails is rolled back from, the old one being there; the next update takes the service along", async () => {
  const bad = { id: "" };
  const { fleet, id, service, add, names, close } = await withUser(
    "config",
    (task) => usedBy(task) === bad.id,
  );
  await using _ = fleet;
  const { store } = fleet, made = store.update.bind(store);
  // The very version that comes next is bad.
  store.update = async (callback) => {
    const result = await made(callback);
    bad.id ||= store.all("configs").find((each) => each.Edition?.Number === 2)?.ID ?? "";
    return result;
  };
  await add("2");
  await fleet.clock.advance(60_000);
  assert.equal(fleet.service(service).UpdateStatus?.State, "rollback_completed");
  assert.ok(fleet.running(service).every((task) => usedBy(task) === id));
  assert.deepEqual(names(), ["settings", "settings.1"]);
  const { ID } = await add("3", bad.id);
  await fleet.clock.advance(60_000);
  assert.ok(fleet.running(service).every((task) => usedBy(task) === ID));
  await rollbackService(store, fleet.clock, service, fleet.service(service).Version.Index);
  await close();
});

Deno.test("Versions: a device that is off keeps the one that it has, for as long as it may start it again", async () => {
  const { fleet, service, add, names, close } = await withUser("secret");
  await using _ = fleet;
  await fleet.state("d2", "down");
  const { ID } = await add("2");
  await fleet.clock.advance(60_000);
  const { ID: third } = await add("3", ID);
  await fleet.clock.advance(120_000);
  assert.deepEqual(names(), ["settings", "settings.1", "settings.2"]);
  await fleet.state("d2", "ready");
  await fleet.clock.advance(120_000);
  assert.equal(fleet.running(service).filter((task) => usedBy(task) === third).length, 3);
  assert.deepEqual(names(), ["settings", "settings.2"]);
  await close();
});

Deno.test("Versions: the same bytes make none; older ones, taken names and what is too large are refused; a job keeps its own", async () => {
  const { fleet, id, template, add, names, close } = await withUser("config");
  await using _ = fleet;
  await fleet.job("once", { GlobalJob: {} }, { template });
  assert.deepEqual(await add("1"), { ID: id, Updated: [], Kept: [] });
  assert.deepEqual(names(), ["settings"]);
  const { ID, Kept } = await add("2");
  assert.deepEqual(Kept, ["once"]);
  await assert.rejects(add("3"), /config settings.1 is an older version of settings: update settings/);
  await createPayload(fleet.store, fleet.random, "config", {
    Name: "settings.2",
    Labels: {},
    Data: base64("x"),
  });
  await assert.rejects(add("3", ID), { code: "already_exists" });
  await assert.rejects(add("x".repeat(1_000_000), ID), /create another config/);
  await assert.rejects(removePayload(fleet.store, "config", ID), /in use by the following service: app/);
  // A reference to the old one by the name that it had then is what a client writes back.
  requireDependencies(fleet.store, { ...template, ForceUpdate: 0, Runtime: "process" });
  await close();
});

/** As {@linkcode withUser}, with references that name a signal, on devices whose agents can send it. */
async function withSignal(bad?: (task: Task) => boolean) {
  const made = await withUser("config", bad), { fleet, id, service } = made;
  for (const node of ["d0", "d1", "d2"]) {
    await fleet.setNode(
      node,
      (each) => ({ ...each, Description: { ...each.Description!, Reloads: ["process"] } }),
    );
  }
  const Configs = [{ ConfigID: id, ConfigName: "settings", File: FILE, Signal: "HUP" }];
  await fleet.template(service, { ProcessSpec: { Command: "run", Configs } });
  await fleet.clock.advance(60_000);
  return made;
}

Deno.test("Versions: where a signal is named, running programs are told under the same policy, and none is replaced", async () => {
  const { fleet, service, add, names, close } = await withSignal();
  await using _ = fleet;
  const tasks = fleet.running(service).map(({ ID }) => ID).sort();
  const { ID } = await add("2");
  await fleet.clock.advance(5000);
  assert.equal(fleet.running(service).filter((task) => usedBy(task) === ID).length, 1, "one at a time");
  await fleet.clock.advance(60_000);
  assert.ok(fleet.running(service).every((task) => usedBy(task) === ID));
  assert.deepEqual(fleet.running(service).map((task) => task.ID).sort(), tasks);
  const { State, Rollout } = fleet.service(service).UpdateStatus!;
  assert.deepEqual([State, Rollout!.Total, Rollout!.Done], ["completed", 3, 3]);
  // Anything else that changes with it replaces them.
  await fleet.template(service, {
    ProcessSpec: { ...fleet.service(service).Spec.TaskTemplate.ProcessSpec!, Args: ["x"] },
  });
  await fleet.clock.advance(60_000);
  assert.ok(fleet.running(service).every((task) => !tasks.includes(task.ID)));
  assert.deepEqual(names(), ["settings"]);
  await close();
});

Deno.test("Versions: a program that ends over the news counts as a failed update, and the others never hear of it", async () => {
  const { fleet, id, service, add, close } = await withSignal();
  await using _ = fleet;
  const { ID } = await add("2");
  await fleet.clock.advance(1000);
  const told = fleet.running(service).filter((task) => usedBy(task) === ID);
  assert.equal(told.length, 1);
  await fleet.agents.report(told[0]!.ID, "failed");
  await fleet.clock.advance(60_000);
  assert.equal(fleet.service(service).UpdateStatus?.State, "rollback_completed");
  assert.equal(fleet.running(service).length, 3);
  assert.ok(fleet.running(service).every((task) => usedBy(task) === id));
  await close();
});

Deno.test("Versions: an agent that cannot tell programs gets a new task; so does a program that does not run yet", async () => {
  const { fleet, service, add, close } = await withSignal();
  await using _ = fleet;
  await fleet.setNode("d1", (each) => ({ ...each, Description: { ...each.Description!, Reloads: [] } }));
  const before = new Map(fleet.running(service).map(({ NodeID, ID }) => [NodeID, ID]));
  await add("2");
  await fleet.clock.advance(60_000);
  const after = new Map(fleet.running(service).map(({ NodeID, ID }) => [NodeID, ID]));
  assert.deepEqual(["d0", "d1", "d2"].map((node) => before.get(node) === after.get(node)), [
    true,
    false,
    true,
  ]);
  await close();
});
