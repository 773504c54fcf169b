/** Scenario 72 on real processes: two of three managers are lost for good, and a worker's task never notices. */
import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import type { TaskView } from "../../cli/api_types.ts";
import { type ManagerFleet, withManagers } from "../support/manager_fleet.ts";

/** More than the wait for a leader (10 s), less than two. */
const FAST_MS = 15_000;

const SPEC = {
  Name: "edge",
  TaskTemplate: {
    Runtime: "process",
    ProcessSpec: { Command: "/bin/sleep", Args: ["1000"] },
    Placement: { Constraints: ["node.role==worker"] },
  },
  Mode: { Replicated: { Replicas: 1 } },
};

/** Tasks that run, as `ID pid`. */
async function running(fleet: ManagerFleet, through: string): Promise<string[]> {
  const tasks = await fleet.client(through).get<TaskView[]>("/tasks");
  return tasks.filter(({ Status }) => Status.State === "running")
    .map(({ ID, Status }) => `${ID} ${Status.ContainerStatus?.PID}`);
}

async function stateOf(fleet: ManagerFleet, through: string, name: string): Promise<string | undefined> {
  const nodes = await fleet.nodes(through);
  return nodes?.find(({ Description }) => Description?.Hostname === name)?.Status.State;
}

async function infoOf(fleet: ManagerFleet, name: string) {
  type Info = { Swarm: { LocalNodeState: string; ControlAvailable: boolean; Error: string } };
  return (await fleet.client(name).get<Info>("/info")).Swarm;
}

Deno.test("Lost majority: tasks go on, writes fail soon; the survivor goes on by force, workers and joiners with it (scenario 72)", () =>
  withManagers({ agents: true }, async (fleet) => {
    await fleet.start("m1");
    await fleet.start("m2", { through: "m1" });
    await fleet.start("m3", { through: "m1" });
    await fleet.start("m4", { through: "m1", role: "Worker" });
    await fleet.until("m4 is ready", async () => await stateOf(fleet, "m1", "m4") === "ready");
    await fleet.client("m1").post("/services/create", SPEC);
    await fleet.until("its task runs", async () => (await running(fleet, "m3")).length === 1);
    const before = await running(fleet, "m3");
    const pid = Number(before[0]!.split(" ")[1]);

    await Promise.all(["m1", "m2"].map((name) => fleet.signal(name, "SIGKILL")));
    const asked = performance.now();
    await rejects(
      fleet.client("m3").post("/services/create", { ...SPEC, Name: "lost" }),
      /does not have a leader/,
    );
    ok(performance.now() - asked < FAST_MS);
    Deno.kill(pid, "SIGCONT");

    await fleet.client("m3").post("/swarm/init", { ForceNewCluster: true, ListenAddr: "0.0.0.0:2377" });
    await fleet.until("m4 is ready again", async () => await stateOf(fleet, "m3", "m4") === "ready");
    await fleet.client("m3").post("/services/create", { ...SPEC, Name: "after" });
    await fleet.until("its task runs on m4", async () => (await running(fleet, "m3")).length === 2);
    ok((await running(fleet, "m3")).includes(before[0]!), "the task of before was left alone");
    const managers = (await fleet.nodes("m3"))!.filter(({ ManagerStatus }) => ManagerStatus);
    deepStrictEqual(managers.map(({ Description }) => Description?.Hostname), ["m3"]);

    await fleet.start("m5", { through: "m3" });
    await fleet.until(
      "two managers",
      async () =>
        (await fleet.nodes("m5"))!.filter(({ ManagerStatus }) => ManagerStatus?.Reachability === "reachable")
          .length === 2,
    );
    await fleet.start("m1").catch(() => {});
    await fleet.until("m1 is told that it is out", async () => !(await infoOf(fleet, "m1")).ControlAvailable);
    strictEqual((await fleet.nodes("m5"))!.filter(({ ManagerStatus }) => ManagerStatus).length, 2);
    ok((await running(fleet, "m5")).includes(before[0]!));
  }));
