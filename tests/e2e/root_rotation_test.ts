/** The stock client gives the cluster another root: tokens change, devices that were off come back. */
import assert from "node:assert/strict";
import { joinToken, withManager } from "../support/one_manager.ts";
import { eventually, freePort, inFolder, refused, run, start } from "../support/programs.ts";

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

Deno.test("Root rotation: managers with agents beside them, and workers that a manager's program runs, have it within the minute", () =>
  inFolder(async (folder) => {
    const port = freePort(), address = `127.0.0.1:${port}`, socket = `${folder}/m1/covey.sock`;
    const program = (name: string, ...flags: string[]) =>
      start("manager", "--state-dir", `${folder}/${name}`, "--docker", "none", "--hostname", name, ...flags);
    const programs = [program("m1", "--listen", address)];
    try {
      await programs[0]!.says(/Node \w+ is connected/);
      for (
        const [name, host, role] of [["m2", "127.0.0.2", "manager"], ["w", "127.0.0.3", "worker"]] as const
      ) {
        const token = (await run("docker", socket, "swarm", "join-token", "-q", role)).stdout.trim();
        const at = `${host}:${port}`;
        programs.push(program(name, "--listen", at, "--advertise", at, "--join", address, "--token", token));
        await programs.at(-1)!.says(/Node \w+ is connected/);
      }
      const { code, stdout, stderr } = await run("docker", socket, "swarm", "ca", "--rotate");
      assert.equal(code, 0, stderr);
      const root = (await run("docker", socket, "swarm", "ca")).stdout;
      assert.ok(stdout.includes(root.trim()));
      const rootOf = (name: string) => Deno.readTextFile(`${folder}/${name}/certificates/swarm-root-ca.crt`);
      for (const name of ["m1", "m2", "w"]) assert.equal(await rootOf(name), root, name);

      assert.equal(await programs.pop()!.end(), 0);
      assert.equal((await run("docker", socket, "swarm", "ca", "--rotate", "--detach")).code, 0);
      const show = ["info", "--format", "{{.Swarm.Cluster.RootRotationInProgress}}"];
      await eventually(
        "it is through",
        async () => (await run("docker", socket, ...show)).stdout.trim() === "false",
      );
      const next = (await run("docker", socket, "swarm", "ca")).stdout;
      assert.equal(await rootOf("w"), root);
      const at = `127.0.0.3:${port}`;
      programs.push(program("w", "--listen", at, "--advertise", at));
      await eventually("the worker has come back", async () => await rootOf("w") === next);
    } finally {
      for (const each of programs.reverse()) await each.end("SIGKILL");
    }
  }));
