/** What copies of a demoted and of a removed manager's certificates are still good for: real managers, real TLS. */
import assert from "node:assert/strict";
import type { NodeView } from "../../cli/api_types.ts";
import type { ManagerFleet } from "../support/manager_fleet.ts";
import { withManagers } from "../support/manager_fleet.ts";
import { dialWith, materialOf } from "../support/node_material.ts";
import { besiege } from "./siege.ts";
import { ALL_REFUSED, attempts, control, identityOf, victimAt } from "./manager_calls.ts";

async function setRole(fleet: ManagerFleet, nodeID: string, Role: string): Promise<void> {
  await fleet.until(`${nodeID} shall be a ${Role}`, async () => {
    const node = await fleet.client("m1").get<NodeView>(`/nodes/${nodeID}`);
    await fleet.client("m1").post(`/nodes/${nodeID}/update`, { ...node.Spec, Role }, {
      version: node.Version.Index,
    });
    return true;
  });
}

/** Nodes with their roles and places in the quorum, and the services: what an attacker must not change. */
async function shown(fleet: ManagerFleet): Promise<string> {
  const nodes = await fleet.nodes("m1");
  const services = await fleet.client("m1").get<unknown[]>("/services");
  return JSON.stringify([
    nodes?.map(({ ID, Spec, ManagerStatus }) => [ID, Spec.Role, ManagerStatus]),
    services.length,
  ]);
}

/** Names of the files under `folder` that hold `secret`. */
async function holding(folder: string, secret: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory, isFile } of Deno.readDir(folder)) {
    const path = `${folder}/${name}`;
    if (isDirectory) found.push(...await holding(path, secret));
    else if (isFile && (await Deno.readTextFile(path)).includes(secret)) found.push(path);
  }
  return found;
}

Deno.test("Old managers: copies of a demoted and a removed manager's keys open nothing, and what was open ends", () =>
  withManagers({}, async (fleet) => {
    await fleet.start("m1");
    for (const name of ["m2", "m3"]) await fleet.start(name, { through: "m1" });
    const [demoted, removed] = [
      await materialOf(`${fleet.folder}/m2`),
      await materialOf(`${fleet.folder}/m3`),
    ];
    const copy = `${fleet.folder}/copy`;
    await Deno.mkdir(`${copy}/certificates`, { recursive: true });
    for (const name of ["swarm-node.crt", "swarm-node.key"]) {
      await Deno.copyFile(`${fleet.folder}/m2/certificates/${name}`, `${copy}/certificates/${name}`);
    }
    const victim = await victimAt(fleet.address("m1"), demoted);
    const open = [await dialWith(victim.address, demoted), await dialWith(victim.address, removed)];
    for (const connection of open) assert.equal((await control(connection, "GET", "/v1.41/swarm")).length, 1);

    await fleet.signal("m3", "SIGKILL");
    const gone = identityOf(removed).nodeID;
    await setRole(fleet, gone, "worker");
    await fleet.until("m3 is removed", async () => {
      await fleet.client("m1").delete(`/nodes/${gone}`, { force: true });
      return true;
    });
    await setRole(fleet, identityOf(demoted).nodeID, "worker");
    await fleet.until("m2 is a worker", async () => {
      const { Swarm } = await fleet.client("m2").get<
        { Swarm: { ControlAvailable: boolean; LocalNodeState: string } }
      >(
        "/info",
      );
      return !Swarm.ControlAvailable && Swarm.LocalNodeState === "active";
    });
    const reasons = await Promise.all(open.map(({ closed }) => closed));
    assert.match(reasons[0]!.message, /the node is no manager any more/);
    assert.match(reasons[1]!.message, /no manager any more|removed from the cluster/);
    assert.deepEqual(await holding(`${fleet.folder}/m2`, demoted.privateKeyPEM), [], "the old key is erased");

    const before = await shown(fleet);
    assert.deepEqual(await attempts(victim, demoted), ALL_REFUSED);
    assert.deepEqual(await attempts(victim, removed), ALL_REFUSED);
    await besiege("pings", {
      pid: fleet.pid("m1"),
      address: victim.address,
      ask: () => fleet.client("m1").get("/nodes"),
      folder: copy,
    });
    assert.equal(await shown(fleet), before);
    assert.equal(await fleet.leader("m1"), "m1");

    // A removed manager that comes back is told, and asks for a person.
    await fleet.again("m3", "error");
    const { Swarm } = await fleet.client("m3").get<{ Swarm: { Error: string } }>("/info");
    assert.match(Swarm.Error, /This manager was removed from the cluster; leave with --force to join again/);
  }));
