/** An idle manager is asked for addresses that it was not started with, as clients of an engine ask for any. */
import assert from "node:assert/strict";
import { SOCKET_ORIGIN } from "../../api/socket_origin.ts";
import { ControlClient } from "../../cli/client.ts";
import { eventually, freePort, inFolder, type Program, run, shows, start } from "../support/programs.ts";

interface Idle {
  socket: string;
  program: Program;
  client: ControlClient;
}

async function startIdle(folder: string, name: string, ...flags: string[]): Promise<Idle> {
  const socket = `${folder}/${name}.sock`;
  const own = ["--idle", "--state-dir", `${folder}/${name}`, "--api", socket, "--docker", "none"];
  const program = start("manager", ...own, "--hostname", name, ...flags);
  await program.says(/control API is at/);
  return { socket, program, client: new ControlClient(`unix://${socket}`) };
}

/** Status and body of a GET that no client of Deno's can send. */
async function longGet(socket: string, target: string): Promise<string> {
  using connection = await Deno.connect({ transport: "unix", path: socket });
  const writer = connection.writable.getWriter();
  await writer.write(
    new TextEncoder().encode(`GET ${target} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n`),
  );
  const answer = await new Response(connection.readable).text();
  return `${answer.split(" ", 2)[1]} ${answer.split("\r\n\r\n")[1]!.trim()}`;
}

const init = ({ client }: Idle, address: string) =>
  client.post<string>("/swarm/init", { ListenAddr: address, AdvertiseAddr: address });

/** The process that the front started last. */
async function innerOf({ program: { pid } }: Idle): Promise<number> {
  return Number((await Deno.readTextFile(`/proc/${pid}/task/${pid}/children`)).trim().split(" ").at(-1));
}

/** What of the network the sandbox of a process allows. */
async function allowed(pid: number): Promise<string[]> {
  const words = (await Deno.readTextFile(`/proc/${pid}/cmdline`)).split("\0");
  const net = words.find((word) => word.startsWith("--allow-net="))!;
  const socket = `${new URL(SOCKET_ORIGIN).host}:80`;
  return net.slice("--allow-net=".length).split(",").filter((each) =>
    !each.startsWith("unix:") && each !== socket
  );
}

const port = (address: string) => `0.0.0.0/0:${address.split(":")[1]}`;
const isGone = async (pid: number) => (await Deno.stat(`/proc/${pid}`).catch(() => undefined)) === undefined;

Deno.test("Idle manager: founds a cluster at any address, again and again, each with that address alone allowed", () =>
  inFolder(async (folder) => {
    const a = await startIdle(folder, "a", "--no-agent");
    try {
      for (const address of [`127.0.0.1:${freePort()}`, `127.0.0.1:${freePort()}`]) {
        await init(a, address);
        // On the same connection, at once: this is what clients do.
        const { Swarm } = await a.client.get<{ Swarm: { LocalNodeState: string; RemoteManagers: unknown } }>(
          "/info",
        );
        assert.equal(Swarm.LocalNodeState, "active");
        assert.match(JSON.stringify(Swarm.RemoteManagers), new RegExp(address));
        assert.deepEqual(await allowed(await innerOf(a)), ["0.0.0.0/0:2377", port(address)]);
        assert.deepEqual(await allowed(a.program.pid), []);
        // As clients ask that send a whole spec beside their parameters too.
        const long = { filters: "{}", spec: "x".repeat(150_000) };
        assert.deepEqual(await longGet(a.socket, `/services?${new URLSearchParams(long)}`), "200 []");
        await assert.rejects(init(a, "127.0.0.1:1"), /already part of a swarm/);
        assert.deepEqual(await allowed(await innerOf(a)), ["0.0.0.0/0:2377", port(address)]);
        await a.client.post("/swarm/leave", undefined, { force: true });
      }
      const inner = await innerOf(a);
      assert.equal(await a.program.end(), 0, a.program.output);
      assert.ok(await isGone(inner));
    } finally {
      await a.program.end("SIGKILL");
    }
  }));

Deno.test("Idle manager: joins through any address, and its manager does not outlive its front", () =>
  inFolder(async (folder) => {
    const address = `127.0.0.1:${freePort()}`, own = `127.0.0.2:${freePort()}`;
    const a = await startIdle(folder, "a", "--no-agent"), b = await startIdle(folder, "b");
    try {
      await init(a, address);
      const token = (await run("docker", a.socket, "swarm", "join-token", "-q", "worker")).stdout.trim();
      const joined = await run(
        "docker",
        b.socket,
        "swarm",
        "join",
        "--token",
        token,
        "--listen-addr",
        own,
        address,
      );
      assert.match(joined.stdout + joined.stderr, /joined a swarm as a worker/);
      await shows(/ b .*Ready/, "docker", a.socket, "node", "ls");
      assert.deepEqual(await allowed(await innerOf(b)), ["0.0.0.0/0:2377", port(own), port(address)]);
      const inner = await innerOf(a);
      await a.program.end("SIGKILL");
      await eventually("the manager has ended too", () => isGone(inner));
      // From the next start on the manager is there without a front.
      const again = await startIdle(folder, "a", "--no-agent");
      await eventually("it leads", async () => (await run("docker", again.socket, "node", "ls")).code === 0);
      assert.deepEqual(await allowed(again.program.pid), ["0.0.0.0/0:2377", port(address)]);
      assert.equal(await again.program.end(), 0);
    } finally {
      for (const { program } of [a, b]) await program.end();
    }
  }));

Deno.test("Idle manager: ends with its manager, and says why", () =>
  inFolder(async (folder) => {
    const program = start(
      "manager",
      "--idle",
      "--state-dir",
      `${folder}/m`,
      "--no-agent",
      "--docker",
      "none",
    );
    try {
      await program.says(/control API is at/);
      const [inner] = (await Deno.readTextFile(`/proc/${program.pid}/task/${program.pid}/children`)).split(
        " ",
      );
      Deno.kill(Number(inner), "SIGTERM");
      assert.equal(await program.ends(), 0, program.output);
    } finally {
      await program.end("SIGKILL");
    }
  }));
