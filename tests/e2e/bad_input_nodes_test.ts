/** What managers and agents say to wrong tokens, flags, modules and folders. Nothing of it may harm the cluster that runs. */
import assert from "node:assert/strict";
import { joinToken, startManager, withManager } from "../support/one_manager.ts";
import { freePort, inFolder, refused, run, shows, start } from "../support/programs.ts";

const agentIn = (folder: string, name: string) => (...flags: string[]) =>
  start("agent", "--state-dir", `${folder}/${name}`, ...flags);

Deno.test("Join: a wrong, rotated or foreign token and a wrong root are refused, each for its own reason", () =>
  withManager(async ({ folder, address, socket, token }) => {
    const other = startManager(folder, "other", "--listen", `127.0.0.1:${freePort()}`);
    await other.says(/serves at/);
    const foreign = await joinToken(`${folder}/other/covey.sock`);
    assert.equal(await other.end(), 0);
    const [prefix, version, digest, secret] = token.split("-");
    const flip = (text = "") => (text[0] === "0" ? "1" : "0") + text.slice(1);
    const rotated = await run("covey", socket, "swarm", "join-token", "-q", "--rotate", "worker");
    assert.notEqual(rotated.stdout.trim(), token);
    const wrong: [string, RegExp][] = [
      ["nonsense", /Cannot read join token: it does not start with SWMTKN-/],
      [
        `${prefix}-${version}-${digest}x-${secret}`,
        /Cannot read join token: its root digest has 51 characters/,
      ],
      [
        `${prefix}-${version}-${flip(digest)}-${secret}`,
        /Cannot trust root CA: its digest is .*of another cluster/,
      ],
      [foreign, /Cannot trust root CA: its digest is .*of another cluster/],
      [
        `${prefix}-${version}-${digest}-${flip(secret)}`,
        /the join token is not valid, it may have been rotated/,
      ],
      [token, /the join token is not valid, it may have been rotated/],
    ];
    await Promise.all(wrong.map(async ([text, reason], i) => {
      await refused(agentIn(folder, `a${i}`)("--join", address, "--token", text), reason);
    }));
    const manager = startManager(folder, "m2", "--listen", address, "--join", address, "--token", token);
    await refused(manager, /the join token is not valid, it may have been rotated/);
    const { stdout } = await run("covey", socket, "node", "ls", "-q");
    assert.equal(stdout.trim().split("\n").length, 1, "nobody has joined");
    const right = agentIn(folder, "a0")("--join", address, "--token", rotated.stdout.trim());
    await right.says(/is connected/);
    assert.equal(await right.end(), 0);
  }));

Deno.test("Join: a manager that cannot be reached is named at once, and tried until it is there", () =>
  withManager(async ({ folder, address, token }) => {
    const nowhere = `127.0.0.1:${freePort()}`;
    const agent = agentIn(folder, "a");
    const lost = agent("--join", `${nowhere},nosuchhost.invalid:2377`, "--token", token);
    await lost.says(
      /Cannot join yet, trying again: .* at 2 addresses: .*ECONNREFUSED.*; .* to nosuchhost.invalid:2377: getaddrinfo ENOTFOUND/,
    );
    assert.equal(await lost.end(), 0);
    const found = agent("--join", `${nowhere},${address}`, "--token", token);
    await found.says(/is connected/);
    assert.equal(await found.end(), 0);
  }));

Deno.test("Flags: what is wrong with each is said, and nothing starts", () =>
  inFolder(async (folder) => {
    const agent = agentIn(folder, "a"), manager = (...flags: string[]) => startManager(folder, "m", ...flags);
    const join = ["--join", "127.0.0.1:1", "--token", "x"];
    await Promise.all([
      refused(agent("--bogus"), /Cannot read the flags: Unknown option '--bogus'/),
      refused(agent(), /this node has no certificate yet, give --join and --token/),
      refused(agent("--token", "x"), /--join: is required with --token/),
      refused(
        agent("--join", "127.0.0.1:99999", "--token", "x"),
        /--join: want HOST:PORT, .*"127.0.0.1:99999"/,
      ),
      refused(agent("--join", "a b", "--token", "x"), /--join: want HOST:PORT, current value is "a b:2377"/),
      refused(agent(...join, "--label", "x"), /--label: want k=v, current value is "x"/),
      refused(agent(...join, "--label", "__proto__=x"), /--label: want k=v/),
      refused(start("agent", "--state-dir", `${folder}/a b`), /--state-dir: must not contain blanks/),
      refused(manager("--bogus"), /Cannot read the flags: Unknown option '--bogus'/),
      refused(manager("--listen", "x:y"), /--listen: want HOST:PORT, current value is "x:y"/),
      refused(manager("--listen", "127.0.0.1:99999"), /--listen: want HOST:PORT/),
      refused(manager("--join", "x:1"), /--token: is required with --join/),
      refused(manager("--idle", ...join), /--idle: cannot be combined with --join/),
      refused(manager("--api", `/${"x".repeat(120)}`), /--api: a socket's path has at most 107 characters/),
    ]);
  }));

Deno.test("Executor: a module that is missing, throws or makes no executor is named with the reason", () =>
  withManager(async ({ folder, address, token }) => {
    const modules: [string, string, RegExp][] = [
      ["throws.ts", "throw new Error('boom');", /boom/],
      ["refuses.ts", "export default () => { throw new Error('no such device'); };", /no such device/],
      ["number.ts", "export default 5;", /its default export is not a function/],
      ["empty.ts", "export default () => ({});", /it makes no executor: without describe controller/],
      ["syntax.ts", "export default (", /Expression expected/],
    ];
    const base = ["--state-dir", `${folder}/a`, "--join", address, "--token", token];
    const missing = start("agent", ...base, "--executor", `${folder}/missing.ts`);
    await refused(missing, /Cannot load executor .*missing.ts: Module not found/);
    for (const [name, code, reason] of modules) {
      await Deno.writeTextFile(`${folder}/${name}`, code);
      const program = start("agent", ...base, "--executor", `${folder}/${name}`);
      await refused(program, new RegExp(`Cannot load executor ${folder}/${name}: `), reason);
    }
  }));

const SULKING = `export default () => ({
  name: "sulking", runtime: "sulking", capabilities: [], close: async () => {},
  describe() { throw new Error("not today"); }, controller() {}, recover() {},
});`;

Deno.test("Missing runtime: the agent's log, the node and the waiting task say which and why", () =>
  withManager(async ({ folder, address, socket, token }) => {
    await Deno.writeTextFile(`${folder}/sulking.ts`, SULKING);
    const flags = ["--state-dir", `${folder}/a`, "--join", address, "--token", token, "--hostname", "pi"];
    const agent = start(
      "agent",
      ...flags,
      "--docker",
      `${folder}/no.sock`,
      "--executor",
      `${folder}/sulking.ts`,
    );
    const absent =
      `Cannot reach the Docker Engine at ${folder}/no.sock: GET /info: No such file or directory`;
    await agent.says(new RegExp(`no container runtime: ${absent}`));
    await agent.says(/no sulking runtime: not today/);
    await shows(new RegExp(`"container": "${absent}`), "covey", socket, "node", "inspect", "pi");
    await shows(/"sulking": "not today"/, "covey", socket, "node", "inspect", "pi");
    const created = await run("covey", socket, "service", "create", "-d", "--name", "web", "busybox:local");
    assert.equal(created.code, 0, created.stderr);
    const reason = /Pending .*no suitable node \(.*no container runtime on 1 node/;
    await shows(reason, "covey", socket, "service", "ps", "web");
    await shows(reason, "docker", socket, "service", "ps", "--no-trunc", "web");
    assert.equal(await agent.end(), 0);
  }));

Deno.test("State folder: a second manager or agent on it is refused, and so is a port that is taken", () =>
  withManager(async ({ folder, address, socket, token }) => {
    const agent = agentIn(folder, "a"), first = agent("--join", address, "--token", token);
    await first.says(/is connected/);
    const listen = ["--listen", `127.0.0.1:${freePort()}`];
    await Promise.all([
      refused(agent(), new RegExp(`Cannot start the agent: another one runs on ${folder}/a`)),
      refused(
        startManager(folder, "m"),
        new RegExp(`Cannot use ${folder}/m: another manager is running on it`),
      ),
      refused(
        startManager(folder, "m2", "--listen", address),
        new RegExp(`Cannot listen on ${address}: .*EADDRINUSE`),
      ),
      refused(
        startManager(folder, "m3", ...listen, "--api", socket),
        /Cannot listen on .*covey.sock: another process serves it/,
      ),
      refused(
        startManager(folder, "m4", ...listen, "--api", "/proc/x.sock"),
        /Cannot listen on \/proc\/x.sock: /,
      ),
    ]);
    // A start that failed is in nobody's way.
    const second = startManager(folder, "m2", ...listen);
    await second.says(/serves at/);
    assert.equal(await second.end(), 0);
    assert.equal(await first.end(), 0);
  }));
