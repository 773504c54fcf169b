/** Managers that wait to be told which cluster to found or join, as a Docker Engine does, told by the stock client. */
import assert from "node:assert/strict";
import { freePort, inFolder, Program, run, shows, start } from "../support/programs.ts";

interface Idle {
  socket: string;
  flags: string[];
  process: Program;
}

/** Both on one port, which is all that a sandbox opens, so each needs an address of its own. */
function startIdle(folder: string, name: string, address: string): Idle {
  const socket = `${folder}/${name}.sock`;
  const flags = ["--idle", "--state-dir", `${folder}/${name}`, "--api", socket, "--listen", address]
    .concat("--hostname", name);
  return { socket, flags, process: start("manager", ...flags) };
}

async function restart(node: Idle): Promise<void> {
  assert.equal(await node.process.end(), 0, node.process.output);
  node.process = start("manager", ...node.flags);
  await node.process.says(/control API is at/);
}

async function fails(node: Idle, reason: RegExp, ...command: string[]): Promise<void> {
  const { code, stderr } = await run("docker", node.socket, ...command);
  assert.match(stderr, reason);
  assert.equal(code, 1);
}

const state = (name: string) => new RegExp(`Swarm: ${name}`);
const service = ["service", "create", "-d", "--mode", "global", "--name", "everywhere"];

async function runsTasks(a: Idle): Promise<number[]> {
  await shows(/everywhere .* 2\/2/, "docker", a.socket, "service", "ls");
  const { stdout } = await run("covey", a.socket, "task", "ls", "--format", "json");
  const tasks = JSON.parse(stdout) as { Status: { ContainerStatus: { PID: number } } }[];
  return tasks.map((task) => task.Status.ContainerStatus.PID);
}

function alive(pid: number): boolean {
  try {
    Deno.kill(pid, "SIGCONT");
    return true;
  } catch {
    return false;
  }
}

async function refusals(a: Idle, b: Idle, address: string) {
  await fails(a, /This node is not a swarm manager/, "node", "ls");
  await fails(a, /Cannot listen on 192.0.2.1:1: /, "swarm", "init", "--listen-addr", "192.0.2.1:1");
  await shows(state("inactive"), "docker", a.socket, "info");
  await fails(a, /This node is not part of a swarm/, "swarm", "leave");
  await fails(
    b,
    /join token: it does not start with SWMTKN-|Token: it does not/,
    "swarm",
    "join",
    "--token",
    "x",
    address,
  );
}

Deno.test("Idle manager: is founded, joined and left with the stock client, and remembers it over restarts", () =>
  inFolder(async (folder) => {
    const port = freePort(), address = `127.0.0.1:${port}`;
    const a = startIdle(folder, "a", address), b = startIdle(folder, "b", `127.0.0.2:${port}`);
    try {
      for (const node of [a, b]) await node.process.says(/control API is at/);
      await refusals(a, b, address);
      assert.equal((await run("docker", a.socket, "swarm", "init")).code, 0);
      await restart(a);
      await shows(/SWMTKN/, "docker", a.socket, "swarm", "join-token", "-q", "worker");
      const token = (await run("docker", a.socket, "swarm", "join-token", "-q", "worker")).stdout.trim();
      const joined = await run("docker", b.socket, "swarm", "join", "--token", token, address);
      assert.match(joined.stdout + joined.stderr, /joined a swarm as a worker/);
      await restart(b);
      await shows(/ b .*Ready/, "docker", a.socket, "node", "ls");
      await fails(b, /This node is not a swarm manager\. Worker nodes can't/, "node", "ls");
      const created = await run("covey", a.socket, ...service, "--executor", "process", "/bin/sleep", "1000");
      assert.equal(created.code, 0, created.stderr);
      const pids = await runsTasks(a);
      await fails(a, /Use `--force`/, "swarm", "leave");
      assert.ok(pids.every(alive));
      for (const [node, flags] of [[b, []], [a, ["--force"]]] as const) {
        assert.equal((await run("docker", node.socket, "swarm", "leave", ...flags)).code, 0);
        await shows(state("inactive"), "docker", node.socket, "info");
        await restart(node);
        await shows(state("inactive"), "docker", node.socket, "info");
      }
      assert.ok(!pids.some(alive), "the tasks of a node that left are gone");
      assert.equal(
        (await run("docker", b.socket, "swarm", "init")).code,
        0,
        "a node that left can found a cluster",
      );
    } finally {
      for (const node of [a, b]) await node.process.end();
    }
  }));
