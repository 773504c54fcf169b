/** A manager's process that ends in the middle of its join: whenever that is, the cluster and the joiner get well. */
import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { type ManagerFleet, withManagers } from "../support/manager_fleet.ts";

/** Names of the managers whose vote counts, as `through` sees them. */
async function managers(fleet: ManagerFleet, through: string): Promise<number> {
  return (await fleet.nodes(through))?.filter(({ ManagerStatus }) => ManagerStatus).length ?? 0;
}

async function write(fleet: ManagerFleet, through: string, Name: string): Promise<void> {
  await fleet.until(`${Name} is created`, async () => {
    // A leader that changes leaves it unknown whether it was done: look before asking again.
    const made = await fleet.client(through).get<{ Spec: { Name: string } }[]>("/services");
    if (made.some(({ Spec }) => Spec.Name === Name)) return true;
    await fleet.client(through).post("/services/create", {
      Name,
      TaskTemplate: { ContainerSpec: { Image: "busybox" } },
      Mode: { Replicated: { Replicas: 0 } },
    });
    return true;
  });
}

for (const signal of ["SIGKILL", "SIGTERM"] as const) {
  Deno.test(`Manager join: ${signal} as soon as the cluster counts on it; the next start goes on`, () =>
    withManagers({}, async (fleet) => {
      await fleet.start("m1");
      const joining = fleet.start("m2", { through: "m1" }).catch(() => {});
      await fleet.until("m2 is in the quorum", async () => await managers(fleet, "m1") === 2);
      await fleet.signal("m2", signal);
      await fleet.start("m2");
      await joining;
      await write(fleet, "m2", "together");
      strictEqual(await managers(fleet, "m2"), 2);
    }));
}

Deno.test("Manager join: one that is refused leaves nothing behind, and may join again", () =>
  withManagers({}, async (fleet) => {
    await fleet.start("m1");
    await fleet.idle("m2");
    const { JoinTokens } = await fleet.client("m1").get<{ JoinTokens: { Manager: string } }>("/swarm");
    const join = (AdvertiseAddr: string) =>
      fleet.client("m2").post("/swarm/join", {
        RemoteAddrs: [fleet.address("m1")],
        JoinToken: JoinTokens.Manager,
        ListenAddr: fleet.address("m2"),
        AdvertiseAddr,
      }).then(() => "joined", ({ message }: Error) => message);
    // Somewhere else than it listens: the leader dials back in vain.
    const refusal = await join(fleet.address("m3"));
    strictEqual(/Cannot add manager .* it does not answer at/.test(refusal), true, refusal);
    const { Swarm } = await fleet.client("m2").get<{ Swarm: { LocalNodeState: string } }>("/info");
    strictEqual(Swarm.LocalNodeState, "inactive");
    strictEqual((await fleet.nodes("m1"))?.length, 1);

    strictEqual(await join(fleet.address("m2")), "joined");
    const names = (await fleet.nodes("m2"))?.map(({ ManagerStatus }) => ManagerStatus?.Reachability);
    deepStrictEqual(names, ["reachable", "reachable"]);
  }));

Deno.test("Manager join: an idle manager joins by the name of a host that it was not started with", () =>
  withManagers({}, async (fleet) => {
    await fleet.start("m1");
    await fleet.idle("m2");
    const { JoinTokens } = await fleet.client("m1").get<{ JoinTokens: { Manager: string } }>("/swarm");
    const join = (host: string) =>
      fleet.client("m2").post("/swarm/join", {
        RemoteAddrs: [fleet.address("m1").replace("127.0.0.1", host)],
        JoinToken: JoinTokens.Manager,
      }).then(() => "joined", ({ message }: Error) => message);
    const unknown = await join("no-such-host.invalid");
    strictEqual(unknown, "Cannot find the host no-such-host.invalid: its name is not known here");
    strictEqual(await join("localhost"), "joined");
    strictEqual(await managers(fleet, "m2"), 2);
    await fleet.signal("m2", "SIGTERM");
    await fleet.start("m2");
    await write(fleet, "m2", "after-a-restart");
  }));

Deno.test("Manager join: one that nobody lets in yet waits, says why, gets in later or leaves", () =>
  withManagers({}, async (fleet) => {
    await fleet.start("m1");
    for (const name of ["m2", "m3"]) await fleet.start(name, { through: "m1" });
    /** m3 has lost its log and has to join anew, while nobody is there. */
    const alone = async () => {
      for (const name of ["m3", "m2", "m1"]) await fleet.signal(name, "SIGKILL");
      await Deno.remove(`${fleet.folder}/m3/raft`, { recursive: true });
      await fleet.again("m3", "pending");
    };
    const info = () =>
      fleet.client("m3").get<{ Swarm: { Error: string; ControlAvailable: boolean } }>("/info");
    await alone();
    await fleet.until(
      "m3 says what it waits for",
      async () => /Waits to be let into the managers/.test((await info()).Swarm.Error),
    );
    strictEqual((await info()).Swarm.ControlAvailable, false);
    for (const name of ["m1", "m2"]) await fleet.again(name, "active");
    await fleet.until("m3 votes", async () => (await info()).Swarm.ControlAvailable);
    await write(fleet, "m3", "together");

    await alone();
    await fleet.client("m3").post("/swarm/leave", undefined, { force: true });
    await fleet.until("m3 is alone", async () => !(await info()).Swarm.ControlAvailable);
    strictEqual(
      (await fleet.client("m3").get<{ Swarm: { LocalNodeState: string } }>("/info")).Swarm
        .LocalNodeState,
      "inactive",
    );
  }));
