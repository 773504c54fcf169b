/** Another root certificate for a cluster whose managers, devices and attackers are as they come. */
import assert from "node:assert/strict";
import { systemRandom } from "../../api/random.ts";
import type { ClusterSpec } from "../../api/cluster.ts";
import { updateCluster } from "../../manager/control/cluster.ts";
import {
  assembleIdentity,
  createPrivateKeyPEM,
  isIssuedBy,
  issueNodeCertificate,
  joinCluster,
  publicKeyOf,
  readCertificate,
  type RootCA,
} from "../../security/mod.ts";
import { eventually } from "../support/programs.ts";
import { type Managers, refused, withNodes } from "./manager_nodes.ts";

const NAMES = ["m1", "m2", "m3"];

/** Starts the first `count` managers. */
async function start(managers: Managers, count: number): Promise<void> {
  await managers.start("m1");
  for (const name of NAMES.slice(1, count)) {
    await managers.start(name, { through: "m1", token: managers.tokens().Manager });
  }
}

async function leader(managers: Managers, among = NAMES): Promise<string> {
  const leads = () =>
    among.find((name) => managers.runs(name) && managers.manager(name)?.consensus.status().isLeader);
  await eventually("somebody leads", () => Promise.resolve(leads() !== undefined));
  return leads()!;
}

/** Asks for another root. */
async function rotate(managers: Managers, name: string, ForceRotate: number): Promise<void> {
  const { store, cluster } = managers.manager(name);
  const spec: ClusterSpec = { ...cluster.Spec, CAConfig: { ...cluster.Spec.CAConfig, ForceRotate } };
  const rotation = { tokens: [], unlockKey: false };
  const context = { clock: managers.clock, random: systemRandom };
  await updateCluster(store, context, cluster.Version.Index, { spec, rotate: rotation });
}

function rootOf(managers: Managers, name: string) {
  return managers.manager(name).cluster.RootCA;
}

/** All these managers have the root that differs from `before`, and certificates by it. */
async function rotated(managers: Managers, before: string, names: string[]): Promise<void> {
  for (const name of names) {
    await eventually(`${name} has the new root`, () => {
      const { CACert, RootRotation } = rootOf(managers, name);
      return Promise.resolve(CACert !== before && RootRotation === undefined);
    });
    const { CACert } = rootOf(managers, name);
    await eventually(`${name} trusts it`, async () => {
      const own = (await managers.identity(name))!;
      return own.rootCAPEM === CACert &&
        isIssuedBy(readCertificate(own.certificatePEM), readCertificate(CACert));
    });
  }
}

/** Notes that a device is off, as the dispatcher would in a while. */
async function off(managers: Managers, name: string, nodeID: string): Promise<void> {
  await managers.manager(name).store.update((tx) => {
    const node = tx.get("nodes", nodeID)!;
    tx.update("nodes", { ...node, Status: { ...node.Status, State: "down" } });
  });
}

function joinWith(managers: Managers, token: string, through: string) {
  const ca = managers.ca(through);
  return createPrivateKeyPEM().then((privateKeyPEM) =>
    joinCluster({
      token,
      privateKeyPEM,
      clock: managers.clock,
      getRootCA: (check) => ca.getRootCA(check),
      issueNodeCertificate: (request, root) => ca.issueNodeCertificate(request, root),
    })
  );
}

Deno.test("Rotation: all managers get the new root, an old token is refused, a device that was away renews", () =>
  withNodes(async (managers) => {
    await start(managers, 3);
    const device = await managers.joinWorker(), thief = await managers.joinWorker();
    for (const { nodeID } of [device, thief]) await off(managers, "m1", nodeID);
    const { CACert: old, CAKey, JoinTokens: before } = rootOf(managers, "m1");
    await rotate(managers, await leader(managers), 1);
    await rotated(managers, old, NAMES);

    const { JoinTokens, CACert, CAKey: key } = rootOf(managers, "m2");
    assert.notEqual(key, CAKey);
    assert.ok(JoinTokens.Worker !== before.Worker && JoinTokens.Manager !== before.Manager);
    await assert.rejects(
      joinWith(managers, before.Worker, "m2"),
      refused("permission_denied", /Cannot trust root CA/),
    );
    const joined = await joinWith(managers, JoinTokens.Worker, "m3");
    assert.equal(joined.rootCAPEM, CACert);

    // The device trusts the old root alone, and comes back by it.
    assert.equal(await managers.renew(device, undefined, "m2"), device.nodeID);
    // Its old certificate is worth nothing from then on,
    await assert.rejects(
      managers.renew(device),
      refused("permission_denied", /its key is not the one on record/),
    );
    // and whoever has the old root's key makes certificates that are worth nothing at once.
    const oldRoot: RootCA = { certificatePEM: old, privateKeyPEM: CAKey };
    for (
      const [nodeID, role] of [[thief.nodeID, "swarm-worker"], [
        await nodeOf(managers),
        "swarm-manager",
      ]] as const
    ) {
      const forged = await forge(managers, oldRoot, nodeID, role);
      await assert.rejects(
        managers.renew(forged),
        refused("permission_denied", /its key is not the one on record/),
      );
    }
    assert.equal(await managers.renew(thief), thief.nodeID);
  }));

async function nodeOf(managers: Managers): Promise<string> {
  return (await managers.identity("m1"))!.nodeID;
}

async function forge(
  managers: Managers,
  root: RootCA,
  nodeID: string,
  role: "swarm-worker" | "swarm-manager",
) {
  const privateKeyPEM = await createPrivateKeyPEM();
  const certificateChainPEM = await issueNodeCertificate(root, {
    publicKey: publicKeyOf(privateKeyPEM),
    nodeID,
    clusterID: managers.manager("m1").cluster.ID,
    role,
  }, { clock: managers.clock, random: systemRandom });
  return assembleIdentity({ rootCAPEM: root.certificatePEM, certificateChainPEM, privateKeyPEM });
}

Deno.test("Rotation: a manager that is off is waited for, the next leader goes on, a second root overtakes the first", () =>
  withNodes(async (managers) => {
    await start(managers, 3);
    const old = rootOf(managers, "m1").CACert;
    const first = await leader(managers), others = NAMES.filter((name) => name !== first);
    const away = others[0]!;
    await managers.stop(away);
    await rotate(managers, first, 1);
    const overtaken = rootOf(managers, first).RootRotation!.CACert;
    const running = NAMES.filter((name) => name !== away);
    for (const name of running) {
      await eventually(`${name} has a certificate by the first new root`, async () => {
        const own = (await managers.identity(name))!;
        return isIssuedBy(readCertificate(own.certificatePEM), readCertificate(overtaken)) &&
          own.rootCAPEM === old;
      });
    }
    // A token of before the rotation is good until its end.
    const during = await joinWith(managers, rootOf(managers, first).JoinTokens.Worker, first);
    assert.equal(during.rootCAPEM, old);
    await off(managers, first, during.nodeID);
    assert.ok(rootOf(managers, first).RootRotation, "the manager that is off is waited for");

    await managers.start(away);
    await managers.stop(first);
    const second = await leader(managers, NAMES.filter((name) => name !== first));
    await rotate(managers, second, 2);
    assert.notEqual(rootOf(managers, second).RootRotation?.CACert, overtaken);
    await managers.start(first);
    await rotated(managers, old, NAMES);
    assert.notEqual(rootOf(managers, "m1").CACert, overtaken);
    // It has a certificate by the root that was overtaken, and trusts the first one.
    assert.equal(await managers.renew(during), during.nodeID);
  }));

Deno.test("Rotation: a device that missed three of them is told to join again, one that missed two comes back", () =>
  withNodes(async (managers) => {
    await start(managers, 1);
    const devices = [await managers.joinWorker()];
    for (let round = 1; round <= 3; round++) {
      for (const { nodeID } of devices) await off(managers, "m1", nodeID);
      const before = rootOf(managers, "m1").CACert;
      await rotate(managers, "m1", round);
      await rotated(managers, before, ["m1"]);
      devices.push(await managers.joinWorker());
    }
    await assert.rejects(managers.renew(devices[0]!));
    assert.equal(await managers.renew(devices[1]!), devices[1]!.nodeID);
  }));
