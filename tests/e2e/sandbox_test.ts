/** What the launchers' sandbox lets through on a real cluster: managers by any address or name, and no port but theirs. */
import assert from "node:assert/strict";
import { joinToken, withManager } from "../support/one_manager.ts";
import { freePort, inFolder, Program, ROOT, run, shows, start } from "../support/programs.ts";
import { SOCKET_ORIGIN } from "../../api/socket_origin.ts";

/** A machine's address that is not the loopback, if it has one. */
function outsideAddress(): string | undefined {
  return Deno.networkInterfaces().find(({ family, address }) =>
    family === "IPv4" && !address.startsWith("127.")
  )
    ?.address;
}

/** The machine's name, if it can be resolved here. */
async function ownName(): Promise<string[]> {
  const hosts = await Deno.readTextFile("/etc/hosts");
  return hosts.split(/\s+/).includes(Deno.hostname()) ? [Deno.hostname()] : [];
}

Deno.test("Sandbox: an agent reaches its managers by name, and by an address that is not the loopback", () =>
  inFolder(async (folder) => {
    const port = freePort(), socket = `${folder}/m/covey.sock`;
    const outside = `${outsideAddress() ?? "127.0.0.3"}:${port}`;
    const listen = ["--listen", `0.0.0.0:${port}`, "--advertise", outside];
    const manager = start("manager", "--state-dir", `${folder}/m`, "--hostname", "m", ...listen);
    await manager.says(/serves at/);
    const token = await joinToken(socket);
    const names = ["localhost", ...await ownName()];
    const agents = [...names, outside.split(":")[0]!].map((host, i) => {
      const flags = ["--state-dir", `${folder}/a${i}`, "--join", `${host}:${port}`, "--token", token];
      return { flags, program: start("agent", ...flags) };
    });
    for (const { program } of agents) await program.says(/is connected/);
    await shows(/ m .*Ready/, "covey", socket, "node", "ls");
    for (const agent of agents) {
      assert.equal(await agent.program.end(), 0);
      assert.doesNotMatch(agent.program.output, /Requires|allow-net|sandbox/);
      // From now on it knows the manager by the address that the cluster told it.
      agent.program = start("agent", ...agent.flags.slice(0, 2));
      await agent.program.says(/is connected/);
      assert.equal(await agent.program.end(), 0);
    }
    assert.equal(await manager.end(), 0);
    const restarted = start("manager", "--state-dir", `${folder}/m`);
    await restarted.says(new RegExp(`serves at ${outside}`));
    assert.equal(await restarted.end(), 0);
  }));

Deno.test("Flags: a manager restarted with another address is there, and stays there", () =>
  inFolder(async (folder) => {
    const flags = ["--state-dir", `${folder}/m`, "--no-agent"], socket = `${folder}/m/covey.sock`;
    const addresses = [`127.0.0.1:${freePort()}`, `127.0.0.4:${freePort()}`];
    for (
      const [address, listen] of [
        ...addresses.map((each) => [each, ["--listen", each]] as const),
        [addresses[1]!, []] as const,
      ]
    ) {
      const manager = start("manager", ...flags, ...listen);
      await manager.says(new RegExp(`serves at ${address}`));
      await shows(new RegExp(`"Addr": "${address}"`), "covey", socket, "node", "inspect", "self");
      assert.equal(await manager.end(), 0);
    }
  }));

Deno.test("Executor of one's own: the example runs its tasks in a real cluster, and finds them after a restart", () =>
  withManager(async ({ folder, address, socket, token }) => {
    const flags = [
      "--state-dir",
      `${folder}/a`,
      "--executor",
      "examples/executor/timer.ts",
      "--hostname",
      "pi",
    ];
    let agent = start("agent", ...flags, "--join", address, "--token", token);
    await agent.says(/is connected/);
    await shows(/ pi .*process,timer/, "covey", socket, "node", "ls");
    for (
      const [name, Payload] of [["long", {}], ["short", { Seconds: 0.1, ExitCode: 3 }], ["wrong", {
        Seconds: "x",
      }]] as const
    ) {
      assert.match(await createTimer(socket, name, Payload), /"ID"/);
    }
    const ps = (name: string) => ["service", "ps", name];
    await shows(/long\.1 .* pi +Running +Running /, "covey", socket, ...ps("long"));
    await shows(/short\.1 .* Failed .*non-zero exit \(3\)/, "docker", socket, ...ps("short"));
    await shows(
      /wrong\.1 .* Rejected .*GenericSpec.Payload.Seconds: must be a number/,
      "covey",
      socket,
      ...ps("wrong"),
    );
    const before = (await run("covey", socket, "service", "ps", "-q", "long")).stdout;
    assert.equal(await agent.end("SIGKILL"), 137);
    agent = start("agent", ...flags);
    await agent.says(/is connected/);
    await shows(/long\.1 .* Running +Running /, "covey", socket, ...ps("long"));
    assert.equal(
      (await run("covey", socket, "service", "ps", "-q", "long")).stdout,
      before,
      "no task was replaced",
    );
    assert.equal(await agent.end(), 0);
  }));

async function createTimer(socket: string, Name: string, Payload: Record<string, unknown>): Promise<string> {
  const http = Deno.createHttpClient({ proxy: { transport: "unix", path: socket } });
  const body = {
    Name,
    TaskTemplate: { Runtime: "timer", GenericSpec: { Payload }, RestartPolicy: { Condition: "none" } },
  };
  try {
    const response = await fetch(`${SOCKET_ORIGIN}/v1.41/services/create`, {
      client: http,
      method: "POST",
      body: JSON.stringify(body),
    });
    return await response.text();
  } finally {
    http.close();
  }
}

Deno.test("Sandbox: covey's own lets it run the agent's launcher, to show that one's sandbox, and nothing else", async () => {
  const tasks = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`)).tasks as Record<string, string>;
  const flags = tasks.covey!.split(" ").filter((word) => word.startsWith("--"));
  const attempt =
    "try { await new Deno.Command('/bin/true').output(); console.log('ran'); } catch (e) { console.log(e.name); }";
  const folder = await Deno.makeTempDir();
  await Deno.writeTextFile(`${folder}/attempt.ts`, attempt);
  const program = new Program(Deno.execPath(), ["run", ...flags, `${folder}/attempt.ts`]);
  await program.ends();
  assert.match(program.output, /NotCapable/);
  await Deno.remove(folder, { recursive: true });
});
