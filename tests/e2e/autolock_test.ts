/** Managers of a cluster that locks them: real programs, in their sandboxes, which are killed and started again. */
import assert from "node:assert/strict";
import type { SwarmView } from "../../cli/api_types.ts";
import { openKvDisk } from "../../manager/consensus/disk/kv_disk.ts";
import { ManagerKeys, parseUnlockKey, systemFileSystem } from "../../security/mod.ts";
import { type ManagerFleet, withManagers } from "../support/manager_fleet.ts";
import { openState } from "../support/one_manager.ts";
import { eventually, run } from "../support/programs.ts";
import { filesWith } from "../support/search_bytes.ts";

const LOCKED = /Swarm is encrypted and needs to be unlocked before it can be used/;
const WRONG = { message: /swarm could not be unlocked: invalid key provided/ };

const word = () => `s3cret-${crypto.randomUUID()}`;

async function keyOf(fleet: ManagerFleet, name: string): Promise<string> {
  return (await fleet.client(name).get<{ UnlockKey: string }>("/swarm/unlockkey")).UnlockKey;
}

/** Changes the swarm's lock; resolves with its unlock key. */
async function update(fleet: ManagerFleet, name: string, autolock: boolean, rotate = false): Promise<string> {
  const { Version, Spec } = await fleet.client(name).get<SwarmView>("/swarm");
  const wanted = { ...Spec, EncryptionConfig: { AutoLockManagers: autolock } };
  const query = { version: Version.Index, ...(rotate && { rotateManagerUnlockKey: true }) };
  await fleet.client(name).post("/swarm/update", wanted, query);
  return await keyOf(fleet, name);
}

const unlock = (fleet: ManagerFleet, name: string, UnlockKey: string) =>
  fleet.client(name).post("/swarm/unlock", { UnlockKey });

async function createSecret(fleet: ManagerFleet, through: string, Name: string, text: string): Promise<void> {
  await fleet.client(through).post("/secrets/create", { Name, Data: btoa(text) });
}

async function secretNames(fleet: ManagerFleet, through: string): Promise<string[]> {
  const secrets = await fleet.client(through).get<{ Spec: { Name: string } }[]>("/secrets");
  return secrets.map(({ Spec }) => Spec.Name).sort();
}

/** Waits until a manager's keys are behind a lock, its private key too. */
function untilLocked(fleet: ManagerFleet, name: string): Promise<void> {
  return fleet.until(`${name} is locked`, async () => {
    const text = await Deno.readTextFile(`${fleet.folder}/${name}/certificates/manager.keys`);
    const key = await Deno.readTextFile(`${fleet.folder}/${name}/certificates/swarm-node.key`);
    return JSON.parse(text).locked === true && key.includes("SEALED");
  });
}

/** Whether a manager's keys are behind this lock; an empty one is none. */
async function locksWith(fleet: ManagerFleet, name: string, key: string): Promise<boolean> {
  const keys = new ManagerKeys(systemFileSystem, `${fleet.folder}/${name}`);
  await keys.load();
  return key === "" ? !keys.isLocked : keys.isLocked && keys.unlock(parseUnlockKey(key));
}

/** Where a secret and the keys of the cluster are to be found in clear. */
async function inClear(fleet: ManagerFleet, name: string, ...secrets: string[]): Promise<string[]> {
  const found = await Promise.all(
    [...secrets, "BEGIN PRIVATE KEY", "SWMTKN-1-", "SWMKEY-1-"].map((secret) =>
      filesWith(`${fleet.folder}/${name}`, secret)
    ),
  );
  return found.flat();
}

Deno.test("Autolock: a locked manager says so and does nothing else, until the right key is given", () =>
  withManagers({ agents: true }, async (fleet) => {
    await fleet.start("m1");
    const secret = word();
    await createSecret(fleet, "m1", "first", secret);
    // Without a lock the private key is there, as ever; the state is not.
    assert.deepEqual(await filesWith(`${fleet.folder}/m1`, secret), []);
    assert.deepEqual(await filesWith(`${fleet.folder}/m1/raft`, "PRIVATE KEY"), []);
    const key = await update(fleet, "m1", true);
    assert.match(key, /^SWMKEY-1-/);
    await untilLocked(fleet, "m1");
    await fleet.signal("m1", "SIGTERM");
    assert.deepEqual(await inClear(fleet, "m1", secret), []);

    await fleet.again("m1", "locked");
    const client = fleet.client("m1");
    const asked = ["/swarm", "/nodes", "/services", "/tasks", "/secrets", "/swarm/unlockkey"];
    for (const path of asked) await assert.rejects(client.get(path), { message: LOCKED }, path);
    for (const path of ["/swarm/init", "/swarm/join"]) {
      await assert.rejects(client.post(path, {}), { message: /already part of a swarm/ }, path);
    }
    await assert.rejects(client.post("/swarm/init", { ForceNewCluster: true }), { message: LOCKED });
    await assert.rejects(client.post("/swarm/leave", {}), {
      message: /encrypted and locked\. Please unlock it/,
    });
    await assert.rejects(unlock(fleet, "m1", "SWMKEY-1-x"), { message: /^invalid key string/ });
    await assert.rejects(unlock(fleet, "m1", `SWMKEY-1-${"A".repeat(43)}`), WRONG);
    await unlock(fleet, "m1", key);
    assert.deepEqual(await secretNames(fleet, "m1"), ["first"]);
    await assert.rejects(unlock(fleet, "m1", key), { message: /swarm is not locked/ });
    // The agent beside it has its certificate again, sealed as that is.
    await fleet.until(
      "its agent is back",
      async () => (await fleet.nodes("m1"))![0]!.Status.State === "ready",
    );

    assert.equal(await update(fleet, "m1", false), "");
    await fleet.until(
      "it is open",
      async () =>
        (await Deno.readTextFile(`${fleet.folder}/m1/certificates/manager.keys`)).includes('"locked": false'),
    );
    await fleet.signal("m1", "SIGKILL");
    await fleet.again("m1", "active");
    assert.deepEqual(await secretNames(fleet, "m1"), ["first"]);
  }));

Deno.test("Autolock: our command line and the stock client lock, show, rotate and unlock", () =>
  withManagers({}, async (fleet) => {
    await fleet.idle("m1");
    const socket = `${fleet.folder}/m1.sock`;
    const ok = async (...args: string[]) => {
      const { code, stdout, stderr } = await run("covey", socket, ...args);
      assert.equal(code, 0, stderr);
      return stdout;
    };
    assert.match(await ok("swarm", "init", "--autolock"), /has to be unlocked.*\n\n {4}SWMKEY-1-/);
    const key = (await ok("swarm", "unlock-key", "-q")).trim();
    assert.equal(key, (await run("docker", socket, "swarm", "unlock-key", "-q")).stdout.trim());
    const rotated = (await ok("swarm", "unlock-key", "--rotate", "-q")).trim();
    assert.notEqual(rotated, key);
    await fleet.signal("m1", "SIGTERM");
    await fleet.again("m1", "locked");
    const refused = await run("covey", socket, "service", "ls");
    assert.deepEqual([refused.code, LOCKED.test(refused.stderr)], [3, true]);
    const info = await run("docker", socket, "info", "--format", "{{.Swarm.LocalNodeState}}");
    assert.equal(info.stdout.trim(), "locked");
    await unlock(fleet, "m1", rotated);
    assert.match(await ok("swarm", "update", "--autolock", "false"), /Swarm updated/);
    assert.match((await run("covey", socket, "swarm", "unlock-key")).stderr, /does not lock its managers/);
    assert.match((await run("covey", socket, "swarm", "unlock")).stderr, /it is not locked, but active/);
  }));

Deno.test("Autolock: who joins is locked too; who was off while the key was changed has the old one once more", () =>
  withManagers({}, async (fleet) => {
    await fleet.start("m1");
    const first = await update(fleet, "m1", true);
    for (const name of ["m2", "m3"]) {
      await fleet.start(name, { through: "m1" });
      await untilLocked(fleet, name);
    }
    await fleet.signal("m3", "SIGTERM");
    const second = await update(fleet, "m1", true, true);
    assert.notEqual(second, first);
    await createSecret(fleet, "m2", "meanwhile", word());
    await fleet.again("m3", "locked");
    await assert.rejects(unlock(fleet, "m3", second), WRONG);
    await unlock(fleet, "m3", first);
    await fleet.until("m3 has caught up", () => locksWith(fleet, "m3", second));
    assert.deepEqual(await secretNames(fleet, "m3"), ["meanwhile"]);
    for (const name of ["m1", "m2", "m3"]) assert.equal(await keyOf(fleet, name), second);
    for (const name of ["m2", "m3"]) {
      await fleet.signal(name, "SIGTERM");
      await fleet.again(name, "locked");
      await assert.rejects(unlock(fleet, name, first), WRONG);
      await unlock(fleet, name, second);
    }
    await fleet.until(
      "all three are there",
      async () =>
        (await fleet.nodes("m2"))!.filter(({ ManagerStatus }) => ManagerStatus?.Reachability === "reachable")
          .length ===
          3,
    );
    // A manager that is demoted starts by itself again, and keeps nothing of the state.
    // Refused while the leader does not reach m3, which has just come back.
    await fleet.until("m2 may be demoted", async () => {
      const demoted = (await fleet.nodes("m1"))!.find(({ Description }) => Description?.Hostname === "m2")!;
      const spec = { ...demoted.Spec, Role: "worker" }, version = { version: demoted.Version.Index };
      await fleet.client("m1").post(`/nodes/${demoted.ID}/update`, spec, version);
      return true;
    });
    await fleet.until(
      "m2 is a worker",
      async () => (await Deno.readTextFile(`${fleet.folder}/m2/node.json`)).includes('"role": "worker"'),
    );
    await fleet.signal("m2", "SIGTERM");
    await fleet.again("m2", "active");
    const kept = (await Array.fromAsync(Deno.readDir(`${fleet.folder}/m2`))).map(({ name }) => name);
    assert.ok(!kept.some((name) => name.startsWith("raft")), kept.join());
    await assert.rejects(Deno.stat(`${fleet.folder}/m2/certificates/manager.keys`));
    await fleet.signal("m1", "SIGKILL");
    await fleet.signal("m2", "SIGKILL");
    await fleet.signal("m3", "SIGKILL");
    // The other is lost for good, and the last one is locked.
    await fleet.again("m3", "locked");
    await assert.rejects(fleet.client("m3").post("/swarm/init", { ForceNewCluster: true }), {
      message: LOCKED,
    });
    await unlock(fleet, "m3", second);
    await fleet.client("m3").post("/swarm/init", { ForceNewCluster: true });
    assert.deepEqual(await secretNames(fleet, "m3"), ["meanwhile"]);
    assert.equal(await keyOf(fleet, "m3"), second);
    await fleet.signal("m3", "SIGTERM");
    await fleet.again("m3", "locked");
    await unlock(fleet, "m3", second);
  }));

Deno.test("Autolock: a state of an earlier version, in clear, is sealed at the first start and all there", () =>
  withManagers({}, async (fleet) => {
    await fleet.start("m1");
    const secret = word(), stateDir = `${fleet.folder}/m1`;
    await createSecret(fleet, "m1", "old", secret);
    await fleet.signal("m1", "SIGTERM");
    await writeInClear(stateDir);
    assert.deepEqual(await filesWith(stateDir, secret), [`${stateDir}/raft/state.kv`]);
    await fleet.again("m1", "active");
    assert.deepEqual(await secretNames(fleet, "m1"), ["old"]);
    assert.deepEqual(await filesWith(stateDir, secret), []);
    await fleet.signal("m1", "SIGKILL");
    await fleet.again("m1", "active");
    assert.deepEqual(await secretNames(fleet, "m1"), ["old"]);
  }));

/** Has a manager's state be as an earlier version wrote it. */
async function writeInClear(stateDir: string): Promise<void> {
  const sealed = await openState(stateDir), path = `${stateDir}/plain.kv`;
  const plain = await openKvDisk(path);
  for await (const record of sealed.list([])) {
    if (record.key[0] !== "sealed") await plain.commit([record]);
  }
  await sealed.close();
  await plain.close();
  // SQLite puts its log into the file on a thread of its own.
  await eventually("the file stands alone", () => Deno.stat(`${path}-wal`).then(() => false, () => true));
  for (const name of ["state.kv", "state.kv-wal", "state.kv-shm", "state.kv.journal"]) {
    await Deno.remove(`${stateDir}/raft/${name}`).catch(() => {});
  }
  await Deno.rename(path, `${stateDir}/raft/state.kv`);
  await Deno.remove(`${path}.journal`);
  await Deno.remove(`${stateDir}/certificates/manager.keys`);
}

Deno.test("Autolock: a backup shows nothing without its passphrase, and what is restored from it is locked again", () =>
  withManagers({}, async (fleet) => {
    await fleet.start("m1");
    const secret = word(), key = await update(fleet, "m1", true);
    await createSecret(fleet, "m1", "kept", secret);
    await Deno.mkdir(`${fleet.folder}/saved`);
    const file = `${fleet.folder}/saved/backup`, phrase = `${fleet.folder}/phrase`;
    await Deno.writeTextFile(phrase, "correct horse battery staple\n");
    const flags = ["--passphrase-file", phrase];
    const saved = await run("covey", `${fleet.folder}/m1.sock`, "backup", "-o", file, ...flags);
    assert.equal(saved.code, 0, saved.stderr);
    assert.deepEqual(await inClear(fleet, "saved", secret, key.slice(9)), []);
    await fleet.signal("m1", "SIGKILL");
    await fleet.idle("m2");
    const restored = await run("covey", `${fleet.folder}/m2.sock`, "restore", file, ...flags);
    assert.equal(restored.code, 0, restored.stderr);
    await untilLocked(fleet, "m2");
    await fleet.signal("m2", "SIGTERM");
    assert.deepEqual(await inClear(fleet, "m2", secret), []);
    await fleet.again("m2", "locked");
    await unlock(fleet, "m2", key);
    assert.deepEqual(await secretNames(fleet, "m2"), ["kept"]);
  }));

Deno.test("Autolock: a manager killed in the middle of changes starts with the key before or after, and has all", () =>
  withManagers({}, async (fleet) => {
    await fleet.start("m1");
    for (const name of ["m2", "m3"]) await fleet.start(name, { through: "m1" });
    let before = await update(fleet, "m1", true), count = 0;
    for (let round = 0; round < 6; round++) {
      let over = false;
      const load = (async () => {
        for (; !over; count++) await createSecret(fleet, "m1", `s${count}`, word().repeat(500));
      })();
      const change = update(fleet, "m1", round % 3 !== 2, true);
      // The moments differ from run to run; each has to do.
      await new Promise((resolve) => setTimeout(resolve, 40 * round));
      await fleet.signal("m3", "SIGKILL");
      over = true;
      await load;
      const after = await change;
      await fleet.restart("m3");
      if (await fleet.state("m3") === "locked") {
        const opens = async (key: string) =>
          key !== "" && await unlock(fleet, "m3", key).then(() => true, () => false);
        assert.ok(await opens(before) || await opens(after), `round ${round}`);
      }
      await fleet.until("m3 has caught up", () => locksWith(fleet, "m3", after));
      assert.equal((await secretNames(fleet, "m3")).length, count);
      before = after;
    }
  }));
