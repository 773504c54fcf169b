/** Three real managers: they elect, survive the leader's sudden end, and forget nothing. */
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import type { TaskView } from "../../cli/api_types.ts";
import { globalProcess } from "../support/e2e.ts";
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

/** Process IDs of the running tasks: the same ones mean that none was restarted. */
async function pids(fleet: ManagerFleet, through: string): Promise<string> {
  const tasks = await fleet.client(through).get<TaskView[]>("/tasks");
  const running = tasks.filter(({ Status }) => Status.State === "running");
  return running.map(({ Status }) => Status.ContainerStatus?.PID).sort().join();
}

Deno.test("Quorum: three managers survive kill -9 of the leader, lose nothing and restart no task", () =>
  withManagers({ agents: true }, async (fleet) => {
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
    await fleet.client("m2").post("/services/create", globalProcess("everywhere"));
    await fleet.until("three tasks run", async () => (await pids(fleet, "m2")).split(",").length === 3);
    const before = await pids(fleet, "m2");

    const leader = await fleet.leader("m2");
    ok(leader);
    await fleet.signal(leader, "SIGKILL");
    const survivors = MANAGERS.filter((name) => name !== leader);
    await create(fleet, survivors[0]!, "after");
    deepStrictEqual(await names(fleet, survivors[1]!), ["after", "alone", "everywhere", "together"]);

    await fleet.start(leader);
    await fleet.until("all are reachable again", async () => {
      const seen = await fleet.nodes(leader);
      return seen?.every(({ ManagerStatus }) => ManagerStatus?.Reachability === "reachable") ?? false;
    });
    deepStrictEqual(await names(fleet, leader), ["after", "alone", "everywhere", "together"]);
    await fleet.until(
      "every node is ready",
      async () => (await fleet.nodes(leader))!.every(({ Status }) => Status.State === "ready"),
    );
    strictEqual(await pids(fleet, leader), before);
    const { ID } = await fleet.client(leader).get<{ ID: string }>("/services/everywhere");
    await fleet.client(leader).delete(`/services/${ID}`);
    await fleet.until("no task runs any more", async () => await pids(fleet, leader) === "");
  }));

/** Sets the role of a node, as `docker node promote|demote` does. */
async function setRole(fleet: ManagerFleet, through: string, name: string, Role: string): Promise<void> {
  await fleet.until(`${name} shall be a ${Role}`, async () => {
    const node = (await fleet.nodes(through))!.find(({ Description }) => Description?.Hostname === name)!;
    await fleet.client(through).post(`/nodes/${node.ID}/update`, { ...node.Spec, Role }, {
      version: node.Version.Index,
    });
    return true;
  });
}

/** Host names of the managers, as `through` sees them. */
async function managers(fleet: ManagerFleet, through: string): Promise<string> {
  const nodes = await fleet.nodes(through) ?? [];
  const names = nodes.filter((node) => node.ManagerStatus).map((node) => node.Description?.Hostname);
  return names.sort().join();
}

/** Whether a node has become what it shall be, and that is a manager. */
async function isManager(fleet: ManagerFleet, name: string): Promise<boolean> {
  const { Swarm } = await fleet.client(name).get<
    { Swarm: { LocalNodeState: string; ControlAvailable: boolean } }
  >("/info");
  if (Swarm.LocalNodeState !== "active") throw new Error(`${name} is ${Swarm.LocalNodeState}`);
  return Swarm.ControlAvailable;
}

Deno.test("Quorum: nodes are promoted and demoted in place, leave, and the last one goes on by force", () =>
  withManagers({ agents: true }, async (fleet) => {
    await fleet.start("m1");
    await fleet.start("m2", { through: "m1", role: "Worker" });
    await fleet.start("m3", { through: "m1", role: "Worker" });
    await fleet.until(
      "all are ready",
      async () => (await fleet.nodes("m1"))?.filter(({ Status }) => Status.State === "ready").length === 3,
    );
    await create(fleet, "m1", "kept");

    await setRole(fleet, "m1", "m2", "manager");
    await setRole(fleet, "m1", "m3", "manager");
    await fleet.until("there are three", async () => await managers(fleet, "m3") === "m1,m2,m3");
    await setRole(fleet, "m2", "m1", "worker");
    await fleet.until("two are left", async () => await managers(fleet, "m2") === "m2,m3");
    await fleet.until("m1 is a worker again", async () => !(await isManager(fleet, "m1")));

    await fleet.client("m3").post("/swarm/leave", undefined, { force: true });
    await fleet.until("one is left", async () => await managers(fleet, "m2") === "m2");
    await create(fleet, "m2", "alone");
    await setRole(fleet, "m2", "m1", "manager");
    await fleet.until("m1 is a manager again", () => isManager(fleet, "m1"));
    await fleet.signal("m2", "SIGKILL");
    await fleet.client("m1").post("/swarm/init", { ForceNewCluster: true, ListenAddr: "0.0.0.0:2377" });
    strictEqual(await managers(fleet, "m1"), "m1");
    deepStrictEqual(await names(fleet, "m1"), ["alone", "kept"]);
    await create(fleet, "m1", "by-force");
  }));
