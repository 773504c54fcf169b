/** Three real managers: they elect, survive the leader's sudden end, and forget nothing. */
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import type { ManagerFleet } from "../support/manager_fleet.ts";
import { withManagers } from "../support/manager_fleet.ts";

const MANAGERS = ["m1", "m2", "m3"];

function serviceSpec(Name: string) {
  return {
    Name,
    TaskTemplate: { ContainerSpec: { Image: "busybox" } },
    Mode: { Replicated: { Replicas: 0 } },
  };
}

async function create(fleet: ManagerFleet, through: string, name: string): Promise<void> {
  await fleet.until(`${name} is created`, async () => {
    await fleet.client(through).post("/services/create", serviceSpec(name));
    return true;
  });
}

async function names(fleet: ManagerFleet, through: string): Promise<string[]> {
  const services = await fleet.client(through).get<{ Spec: { Name: string } }[]>("/services");
  return services.map(({ Spec }) => Spec.Name).sort();
}

Deno.test("Quorum: three managers survive kill -9 of the leader and lose nothing", () =>
  withManagers({}, async (fleet) => {
    await fleet.start("m1");
    await create(fleet, "m1", "alone");
    await fleet.start("m2", { through: "m1" });
    await fleet.start("m3", { through: "m2" });
    const nodes = await fleet.nodes("m3");
    deepStrictEqual(
      nodes?.map(({ ManagerStatus }) => ManagerStatus?.Reachability),
      Array(3).fill("reachable"),
    );
    await create(fleet, "m3", "together");

    const leader = await fleet.leader("m2");
    ok(leader);
    await fleet.signal(leader, "SIGKILL");
    const survivors = MANAGERS.filter((name) => name !== leader);
    await create(fleet, survivors[0]!, "after");
    deepStrictEqual(await names(fleet, survivors[1]!), ["after", "alone", "together"]);

    await fleet.start(leader);
    await fleet.until("all are reachable again", async () => {
      const seen = await fleet.nodes(leader);
      return seen?.every(({ ManagerStatus }) => ManagerStatus?.Reachability === "reachable") ?? false;
    });
    deepStrictEqual(await names(fleet, leader), ["after", "alone", "together"]);
    strictEqual((await fleet.nodes(leader))?.length, 3);
  }));
