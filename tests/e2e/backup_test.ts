/** A cluster loses its only manager and comes back from a backup, at another address, on the same devices. */
import assert from "node:assert/strict";
import { Fleet } from "../../cli/demo/fleet.ts";
import type { InfoView, NodeView, SwarmView } from "../../cli/api_types.ts";
import { runCovey } from "../../cli/program.ts";
import { allTasks, globalProcess, nodeNamed, runningTasks, runService, waitNode } from "../support/e2e.ts";

const DEVICES = ["pi-1", "pi-2"];

/** Runs the command line in this process; returns what it printed. */
async function covey(fleet: Fleet, args: string[]): Promise<{ code: number; text: string }> {
  let text = "";
  const write = (more: string) => void (text += more);
  const code = await runCovey(["-H", `unix://${fleet.socket}`, ...args], {
    env: () => undefined,
    signal: new AbortController().signal,
    output: { write, note: write, interactive: false, nowMs: () => Date.now() },
  });
  return { code, text };
}

/** Task to pid: the same pid means that nothing was restarted. */
async function pids(fleet: Fleet, ...services: string[]): Promise<Map<string, number>> {
  const tasks = (await Promise.all(services.map((id) => runningTasks(fleet, id)))).flat();
  return new Map(tasks.map((task) => [task.ID, task.Status.ContainerStatus!.PID]));
}

/**
 * A new, idle manager in place of the lost one. Resolves when its API answers; `started`, when it has a
 * cluster.
 */
async function startIdle(folder: string): Promise<{ fleet: Fleet; started: Promise<void> }> {
  const fleet = new Fleet({ folder, deno: Deno.execPath(), docker: "none" });
  const started = fleet.startManager("manager-2", ["--idle", "--no-agent"]);
  started.catch(() => {});
  await fleet.waitUntil(
    "the idle manager answers",
    () =>
      fleet.client.get<InfoView>("/info").then(
        (info) => info.Swarm.LocalNodeState === "inactive",
        () => false,
      ),
  );
  return { fleet, started };
}

async function removeServices(fleet: Fleet): Promise<void> {
  for (const { ID } of await fleet.client.get<{ ID: string }[]>("/services")) {
    await fleet.client.delete(`/services/${ID}`);
  }
  await fleet.waitUntil("no task is left", async () => (await allTasks(fleet)).length === 0);
}

Deno.test("Backup: a lost manager's cluster goes on elsewhere, and no task is restarted", async () => {
  const folder = await Deno.makeTempDir({ prefix: "covey-backup-" });
  const old = new Fleet({ folder, deno: Deno.execPath(), docker: "none" });
  const fleets = [old];
  const tasks = new Set<number>();
  try {
    await old.startManager("manager-1", ["--no-agent"]);
    for (const device of DEVICES) await old.startAgent(device);
    for (const device of DEVICES) await waitNode(old, device, "ready");
    const edge = await runService(old, globalProcess("edge"), DEVICES.length);
    const before = { swarm: await old.client.get<SwarmView>("/swarm"), pids: await pids(old, edge) };
    for (const pid of before.pids.values()) tasks.add(pid);
    const saved = await covey(old, ["backup", "-o", `${folder}/saved`]);
    assert.equal(saved.code, 0, saved.text);
    assert.match(saved.text, /secrets/);
    assert.equal((await Deno.stat(`${folder}/saved`)).mode! & 0o777, 0o600);
    assert.match((await covey(old, ["backup", "-o", `${folder}/saved`])).text, /exists.*--force/);
    await Deno.writeTextFile(`${folder}/passphrase`, "correct horse\n");
    const sealed = [`${folder}/sealed`, "--passphrase-file", `${folder}/passphrase`];
    assert.match((await covey(old, ["backup", "-o", ...sealed])).text, /encrypted/);

    for (const name of ["manager-1", ...DEVICES]) await old.end(name, "SIGKILL");
    await Deno.remove(`${folder}/manager-1`, { recursive: true });
    const { fleet, started } = await startIdle(folder);
    fleets.unshift(fleet);
    assert.notEqual(fleet.address, old.address);
    await refusesDamaged(fleet, folder);
    assert.match((await covey(fleet, ["restore", `${folder}/sealed`])).text, /encrypted.*--passphrase-file/);
    await refusesWithoutPort(fleet, sealed, `${folder}/manager-2`);
    const restored = await covey(fleet, ["restore", ...sealed]);
    assert.equal(restored.code, 0, restored.text);
    assert.ok(restored.text.includes(`--join ${fleet.address}`), restored.text);
    await started;
    await checkRestored(fleet, before, edge);
    await fleet.end("manager-2", "SIGKILL");
    await fleet.restart("manager-2");
    await fleet.waitUntil(
      "the restored manager is back after a crash",
      () => fleet.client.get<SwarmView>("/swarm").then(({ ID }) => ID === before.swarm.ID, () => false),
    );
    for (const device of DEVICES) await waitNode(fleet, device, "ready");
    await removeServices(fleet);
    tasks.clear();
  } finally {
    for (const fleet of fleets) await fleet.stop();
    // A test that failed: tasks outlive their agents.
    for (const pid of tasks) Deno.kill(pid, "SIGKILL");
    await Deno.remove(folder, { recursive: true });
  }
});

async function refusesDamaged(fleet: Fleet, folder: string): Promise<void> {
  const bytes = await Deno.readFile(`${folder}/saved`);
  await Deno.writeFile(`${folder}/half`, bytes.subarray(0, bytes.length / 2));
  assert.match((await covey(fleet, ["restore", `${folder}/half`])).text, /cut off after \d+ bytes/);
  // Past the command line's own check: the manager does not rely on it.
  await assert.rejects(
    fleet.client.upload(
      "/covey/restore",
      (async function* () {
        yield await Deno.readFile(`${folder}/half`);
      })(),
      "application/octet-stream",
      {},
      new AbortController().signal,
    ),
    /cut off after \d+ bytes/,
  );
  assertEmpty(`${folder}/manager-2`);
}

/** The last step of a restore fails. */
async function refusesWithoutPort(fleet: Fleet, sealed: string[], stateDir: string): Promise<void> {
  using _taken = Deno.listen({ hostname: "127.0.0.1", port: Number(fleet.address.split(":")[1]) });
  const { code, text } = await covey(fleet, ["restore", ...sealed]);
  assert.notEqual(code, 0);
  assert.match(text, /Cannot listen on/);
  assertEmpty(stateDir);
}

/** What a manager that waits has in its folder: no state. */
const OF_THE_PROCESS = ["manager.lock", "inner.sock"];

function assertEmpty(stateDir: string): void {
  const left = [...Deno.readDirSync(stateDir)].map(({ name }) => name);
  assert.deepEqual(left.filter((name) => !OF_THE_PROCESS.includes(name)), []);
}

async function checkRestored(
  fleet: Fleet,
  before: { swarm: SwarmView; pids: Map<string, number> },
  edge: string,
): Promise<void> {
  const swarm = await fleet.client.get<SwarmView>("/swarm");
  assert.equal(swarm.ID, before.swarm.ID);
  assert.deepEqual(swarm.JoinTokens, before.swarm.JoinTokens);
  for (const device of DEVICES) await fleet.startAgent(device);
  await fleet.waitUntil("the devices are back", async () => {
    const nodes = await fleet.client.get<NodeView[]>("/nodes");
    return nodes.filter((node) => node.Status.State === "ready").length === DEVICES.length;
  });
  // A token of before lets a new device in, and a new service reaches everyone.
  await fleet.startAgent("pi-3");
  await waitNode(fleet, "pi-3", "ready");
  await runService(fleet, globalProcess("probe"), DEVICES.length + 1);
  const after = await pids(fleet, edge);
  for (const [id, pid] of before.pids) assert.equal(after.get(id), pid, "a task was restarted");
  assert.equal(after.size, DEVICES.length + 1);
  const managers = (await fleet.client.get<NodeView[]>("/nodes")).filter((node) =>
    node.Spec.Role === "manager"
  );
  assert.equal(managers.length, 1, "only the restored manager is one");
  assert.equal((await nodeNamed(fleet, "pi-1")).Spec.Role, "worker");
}
