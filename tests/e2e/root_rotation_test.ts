/** The stock client gives the cluster another root: tokens change, devices that were off come back. */
import assert from "node:assert/strict";
import { joinToken, withManager } from "../support/one_manager.ts";
import { eventually, refused, run, start } from "../support/programs.ts";

/** A device whose certificate lasts, and what the client shows of nodes. */
interface Shown {
  Description: { Hostname: string; TLSInfo: { TrustRoot: string; CertIssuerPublicKey: string } };
  Status: { State: string };
}

Deno.test("Root rotation: the stock client rotates and waits for it; a device that was off comes back by its old certificate", () =>
  withManager(async ({ folder, address, socket, token }) => {
    const docker = async (...args: string[]) => {
      const { code, stdout, stderr } = await run("docker", socket, ...args);
      assert.equal(code, 0, stderr);
      return stdout;
    };
    const flags = (
      name: string,
    ) => ["--docker", "none", "--hostname", name, "--state-dir", `${folder}/${name}`];
    const join = (name: string, given: string) =>
      start("agent", ...flags(name), "--join", address, "--token", given);
    const agents = [join("here", token), join("away", token)];
    try {
      for (const agent of agents) await agent.says(/is connected/);
      assert.equal(await agents.pop()!.end(), 0);
      const nodes = async (): Promise<Shown[]> => {
        const ids = (await docker("node", "ls", "-q")).trim().split("\n");
        return JSON.parse(await docker("node", "inspect", ...ids));
      };
      const node = async (name: string) =>
        (await nodes()).find((each) => each.Description.Hostname === name)!;
      await eventually("one is off", async () => (await node("away")).Status.State === "down");
      const before = await docker("swarm", "ca");

      await docker("swarm", "ca", "--rotate", "--detach");
      const cluster = async () => JSON.parse(await docker("info", "--format", "{{json .Swarm.Cluster}}"));
      await eventually("it is through", async () => !(await cluster()).RootRotationInProgress);
      const root = await docker("swarm", "ca");
      assert.notEqual(root, before);
      const { TLSInfo } = await cluster();
      await eventually("those who are there have it", async () => {
        const { Description } = await node("here");
        return Description.TLSInfo.TrustRoot === TLSInfo.TrustRoot &&
          Description.TLSInfo.CertIssuerPublicKey === TLSInfo.CertIssuerPublicKey;
      });
      await refused(join("late", token), /the join token names/);
      const fresh = await joinToken(socket);
      assert.notEqual(fresh, token);
      agents.push(join("late", fresh));
      await agents.at(-1)!.says(/is connected/);

      agents.push(start("agent", ...flags("away")));
      await agents.at(-1)!.says(/Node \w+ is connected/);
      await eventually(
        "it trusts the new root",
        async () => (await node("away")).Description.TLSInfo.TrustRoot === root,
      );
      // Without --detach the client waits until every node shows the next one.
      const printed = await docker("swarm", "ca", "--rotate", "--cert-expiry", "720h");
      const last = await docker("swarm", "ca");
      assert.ok(printed.includes(last.trim()) && last !== root, printed);
      assert.ok((await nodes()).every(({ Description }) => Description.TLSInfo.TrustRoot === last));
      assert.equal((await nodes()).length, 4);
    } finally {
      for (const agent of agents) await agent.end();
    }
  }));
