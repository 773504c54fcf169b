/** A join token is the cluster's door key: it is in no process list and in no line that a program prints. */
import assert from "node:assert/strict";
import { runCovey } from "../../cli/program.ts";
import { joinToken, startManager, withManager } from "../support/one_manager.ts";
import { coveyArgs, freePort, Program, refused, ROOT, run, start } from "../support/programs.ts";

const AGENT = `${ROOT}agent/launch.sh`;

/** Every process whose flags (or environment, as far as it may be read) hold `text`. */
function processesWith(text: string, file: "cmdline" | "environ"): string[] {
  return [...Deno.readDirSync("/proc")].filter(({ name }) => /^\d+$/.test(name)).flatMap(({ name }) => {
    try {
      const words = Deno.readTextFileSync(`/proc/${name}/${file}`);
      return words.includes(text)
        ? [Deno.readTextFileSync(`/proc/${name}/cmdline`).replaceAll("\0", " ")]
        : [];
    } catch {
      return [];
    }
  });
}

Deno.test("Join token: taken from a file, standard input or the environment, and shown nowhere, an agent's flags included", () =>
  withManager(async ({ folder, address, token }) => {
    const file = `${folder}/token`;
    await Deno.writeTextFile(file, token, { mode: 0o600 });
    const flags = (
      name: string,
    ) => ["--docker", "none", "--state-dir", `${folder}/${name}`, "--join", address];
    const piped = `exec "$0" "$@" <${file}`;
    const agents = [
      start("agent", ...flags("file"), "--token-file", file),
      new Program("/bin/sh", ["-c", piped, AGENT, ...flags("input"), "--token", "-"]),
      new Program(AGENT, flags("variable"), { COVEY_JOIN_TOKEN: token }),
      // As it always was: the launcher's own flags hold it for a moment, the agent's never.
      start("agent", ...flags("flag"), "--token", token),
      start("agent", ...flags("joined"), `--token=${token}`),
    ];
    for (const agent of agents) await agent.says(/is connected/);
    assert.deepEqual(processesWith(token, "cmdline"), []);
    for (const agent of agents) assert.ok(!agent.output.includes(token));
    for (const agent of agents) assert.equal(await agent.end(), 0);
  }));

Deno.test("Join token: a manager that joins hands none on to the agent beside it", () =>
  withManager(async ({ folder, address, socket }) => {
    const file = `${folder}/token`;
    const token = (await run("covey", socket, "swarm", "join-token", "-q", "manager")).stdout.trim();
    await Deno.writeTextFile(file, `${token}\n`, { mode: 0o600 });
    const listen = `127.0.0.2:${address.split(":")[1]}`;
    const join = ["--listen", listen, "--advertise", listen, "--join", address, "--token-file", file];
    const manager = start("manager", "--state-dir", `${folder}/m2`, ...join);
    await manager.says(/Node \w+ is connected/);
    assert.deepEqual(processesWith(token, "cmdline"), []);
    const owners = processesWith(token, "environ");
    assert.equal(owners.length, 1, owners.join("\n"));
    assert.match(owners[0]!, /manager\/main\.ts/);
    assert.ok(!manager.output.includes(token));
    await run("covey", `${folder}/m2/covey.sock`, "swarm", "leave", "--force");
    assert.equal(await manager.end(), 0);
  }));

Deno.test("Join token: what is wrong with the way it is given is said, without the token", async () => {
  const folder = await Deno.makeTempDir(), empty = `${folder}/empty`, token = "SWMTKN-1-digest-secret";
  await Deno.writeTextFile(empty, "");
  const join = ["--join", `127.0.0.1:${freePort()}`];
  for (
    const [flags, reason] of [
      [["--token-file", "/nonexistent"], /Cannot read the join token: there is no file \/nonexistent/],
      [["--token-file", empty], /Cannot read the join token: there is none in the first line of .*empty/],
      [["--token", "-"], /Cannot read the join token: there is none in the first line of standard input/],
      [["--token-file", token], /--token-file wants a file, not the token/],
      [[token], /Cannot read the flags: Unexpected argument 'SWMTKN-…'/],
      [["--token"], /Cannot read the flags: .*--token/],
    ] as [string[], RegExp][]
  ) {
    for (const program of ["agent", "manager"] as const) {
      const refusal = start(program, "--state-dir", `${folder}/s`, ...join, ...flags);
      await refused(refusal, reason);
      assert.ok(!refusal.output.includes("secret"), refusal.output);
    }
  }
  await Deno.remove(folder, { recursive: true });
});

Deno.test("covey swarm join: takes the token from a file or the environment, and shows it in no message", () =>
  withManager(async ({ folder, address, socket }) => {
    const token = await joinToken(socket),
      file = `${folder}/token`,
      listen = `127.0.0.3:${address.split(":")[1]}`;
    await Deno.writeTextFile(file, `${token}\n`);
    const idle = startManager(folder, "w", "--idle", "--listen", listen);
    await idle.says(/control API is at/);
    const covey = async (env: Record<string, string>, ...args: string[]) => {
      let text = "";
      const output = {
        write: (piece: string) => void (text += piece),
        note: (piece: string) => void (text += piece),
        interactive: false,
        nowMs: () => 0,
      };
      const host = ["-H", `unix://${folder}/w/covey.sock`, "swarm", "join", ...args];
      const signal = new AbortController().signal;
      const code = await runCovey(host, { output, env: (name) => env[name], signal });
      assert.ok(!text.includes(token), text);
      return [code, text] as const;
    };
    for (
      const [code, reason, args] of [
        [2, /Cannot join: no token; give --token-file/, [address]],
        [2, /exclude each other/, ["--token", "x", "--token-file", file, address]],
        [2, /wants a file, not the token/, ["--token-file", token, address]],
        [2, /too many arguments/, [address, token]],
      ] as [number, RegExp, string[]][]
    ) {
      const answer = await covey({}, ...args);
      assert.match(answer[1], reason);
      assert.equal(answer[0], code);
    }
    assert.deepEqual(await covey({}, "--token-file", file, address), [
      0,
      "This node joined a swarm as a worker.\n",
    ]);
    const again = await covey({ COVEY_JOIN_TOKEN: token }, address);
    assert.match(again[1], /already part of a swarm/);
    const host = ["-H", `unix://${folder}/w/covey.sock`, "swarm", "join", "--token", "-", address];
    const piped = new Program("/bin/sh", [
      "-c",
      `exec "$0" "$@" <${file}`,
      Deno.execPath(),
      ...coveyArgs(host),
    ]);
    await refused(piped, /already part of a swarm/);
    assert.ok(!piped.output.includes(token));
    assert.equal(await idle.end(), 0);
  }));
