/** Nodes that were off for longer than their certificates. */
import assert from "node:assert/strict";
import { readCertificate } from "../../security/mod.ts";
import { DAY_MS } from "../security/fixtures.ts";
import { eventually } from "../support/programs.ts";
import { refused, withNodes } from "./manager_nodes.ts";

Deno.test("Expired: a single manager past its certificate signs its own, and its nodes renew with their keys", () =>
  withNodes(async (managers) => {
    await managers.start("m1");
    const [device, late, gone] = [
      await managers.joinWorker(),
      await managers.joinWorker(),
      await managers.joinWorker(),
    ];
    const before = await managers.identity("m1");
    const recorded = () =>
      managers.manager("m1").store.get("nodes", before!.nodeID)?.Certificate?.PublicKeyDigest;
    assert.equal(recorded(), readCertificate(before!.certificatePEM).publicKeyDigest);
    await managers.stop();

    managers.clock.days = 100;
    await managers.start("m1");
    const after = await managers.identity("m1");
    assert.equal(after!.nodeID, before!.nodeID);
    assert.ok(after!.notAfter > managers.clock.now());
    assert.equal(recorded(), readCertificate(after!.certificatePEM).publicKeyDigest);
    assert.equal(await managers.renew(device), device.nodeID);
    const { store } = managers.manager("m1");
    await store.update((tx) => tx.delete("nodes", gone.nodeID));
    await assert.rejects(managers.renew(gone), refused("permission_denied", /the cluster has no node/));

    managers.clock.days = 271;
    await managers.stop();
    await managers.start("m1");
    await assert.rejects(
      managers.renew(late),
      refused("unauthenticated", /it could be renewed for 180 days; started with --join and a join token/),
    );
    const wrong = managers.tokens().Worker.slice(0, -3) + "000";
    await assert.rejects(
      managers.renew(late, wrong),
      refused("permission_denied", /180 days.*; with the join token: /),
    );
    assert.equal(await managers.renew(late, managers.tokens().Worker), late.nodeID);
    await assert.rejects(
      managers.renew(gone, managers.tokens().Worker),
      refused("not_found", /; with the join token: .* is not known under the key/),
    );
    assert.equal(managers.manager("m1").store.count("nodes"), 3);
  }));

Deno.test("Expired: a manager that nobody renews while it runs signs its own before its certificate ends", () =>
  withNodes(async (managers) => {
    await managers.start("m1");
    for (const name of ["m2", "m3"]) {
      await managers.start(name, { through: "m1", token: managers.tokens().Manager });
    }
    await managers.stop("m2", "m3");
    // Alone of three, it leads no more, and nobody issues certificates.
    managers.clock.days = 89;
    await managers.stop("m1");
    await managers.start("m1");
    await eventually(
      "m1 has signed its own",
      async () => (await managers.identity("m1"))!.notAfter > managers.clock.now() + 80 * DAY_MS,
    );
  }));

Deno.test("Expired: three managers that were all off for longer than their certificates form a quorum again", () =>
  withNodes(async (managers) => {
    await managers.start("m1");
    for (const name of ["m2", "m3"]) {
      await managers.start(name, { through: "m1", token: managers.tokens().Manager });
    }
    const device = await managers.joinWorker();
    await managers.stop();

    managers.clock.days = 100;
    const names = ["m1", "m2", "m3"];
    await Promise.all(names.map((name) => managers.start(name)));
    const leader = () => names.find((name) => managers.manager(name)?.consensus.status().isLeader);
    await eventually("one leads", () => Promise.resolve(leader() !== undefined));
    const { store } = managers.manager(leader()!);
    await store.update((tx) => {
      const node = tx.get("nodes", device.nodeID)!;
      tx.update("nodes", { ...node, Spec: { ...node.Spec, Labels: { late: "yes" } } });
    });
    for (const name of names) {
      const { store: copy } = managers.manager(name);
      await eventually(
        `${name} has what was written`,
        () => Promise.resolve(copy.get("nodes", device.nodeID)?.Spec.Labels.late === "yes"),
      );
    }
    const follower = names.find((name) => name !== leader())!;
    assert.equal(await managers.renew(device, undefined, follower), device.nodeID);
  }));

Deno.test("Expired: a manager that is made the only one by force serves its nodes, whatever its certificate says", () =>
  withNodes(async (managers) => {
    await managers.start("m1");
    await managers.start("m2", { through: "m1", token: managers.tokens().Manager });
    const device = await managers.joinWorker();
    await managers.stop();

    managers.clock.days = 100;
    const node = await managers.start("m1");
    await node.init({ ForceNewCluster: true });
    assert.equal(await managers.renew(device), device.nodeID);
  }));
