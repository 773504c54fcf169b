import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { eventually } from "../support/programs.ts";
import { AgentUnderTest, LAUNCHER } from "./support/agent_process.ts";
import { ALL_ATTEMPTS } from "./support/hostile_executor.ts";
import { RealManager } from "./support/real_manager.ts";

const HOSTILE = fileURLToPath(new URL("./support/hostile_executor.ts", import.meta.url));

/** What the launcher lets the agent run: a shell that takes nothing from its environment has it easier. */
const SHIM = new Deno.Command("/bin/sh", { args: ["-p", "-c", ":"] }).outputSync().success
  ? "shim_clean.sh"
  : "shim.sh";

const isRoot = Deno.uid() === 0;
/** Root's programs may be in networks, and ask for names there. */
const NAMES = isRoot ? ",169.254.77.1:7753,169.254.77.1:7754,169.254.80.0/20,0.0.0.0/0:53" : "";

/** The device's own sockets, and those through which ports of tasks are reached. */
function sockets(dir: string): string {
  const ports = ["process", "deno"].flatMap((kind) => [0, 1].map((slot) => `${kind}/forward/${slot}/s`));
  return ["local/agent.sock", "local/app/agent.sock", ...ports].map((path) => `,unix:${dir}/${path}`).join(
    "",
  );
}

async function permissions(...flags: string[]): Promise<string[]> {
  const { stdout } = await new Deno.Command("sh", { args: [LAUNCHER, "--print-permissions", ...flags] })
    .output();
  return new TextDecoder().decode(stdout).trim().split("\n");
}

Deno.test("launch.sh: grants the managers' ports, the state folder and the shim, and nothing else", async () => {
  const dir = await Deno.makeTempDir();
  const root = LAUNCHER.replace("/agent/launch.sh", "");
  await Deno.writeTextFile(`${dir}/managers`, "10.0.0.9:2499\nc:2377\n[fd00::9]:2400\nd:22\n");
  const join = "a:2400,[::1]:2500,host,::1,[fe80::1],b:2400";
  const helper = SHIM.replace("shim", "network");
  assert.deepEqual(await permissions("--state-dir", dir, `--join=${join}`, "--docker", "none"), [
    `--allow-read=${root},${dir},/proc/sys/kernel/random/boot_id${isRoot ? ",/etc/resolv.conf" : ""}`,
    `--allow-write=${dir}`,
    `--deny-write=${dir}/program`,
    "--allow-net=0.0.0.0/0:2377,0.0.0.0/0:2400,a:2400,0.0.0.0/0:2500,[::1]:2500,host:2377,[::1]:2377,[fe80::1]:2377,b:2400,c:2377,[fd00::9]:2400" +
    NAMES + sockets(dir),
    `--allow-run=${root}/executors/process/${SHIM}${isRoot ? `,${root}/network/helper/${helper}` : ""}`,
    "--allow-env=COVEY_JOIN_TOKEN",
    "--allow-sys=systemMemoryInfo,statfs",
  ]);
  const more = await permissions(
    "--state-dir",
    dir,
    "--docker=unix:///d.sock",
    "--identity",
    "/m",
    "--executor",
    "/x.ts",
  );
  assert.equal(
    more[0],
    `--allow-read=${root},${dir},/proc/sys/kernel/random/boot_id,/m/certificates,/x.ts,/d.sock,/etc/resolv.conf`,
  );
  assert.equal(more[1], `--allow-write=${dir},/d.sock`);
  assert.match(
    more[3]!,
    /unix:\/d\.sock,169\.254\.77\.1:7753,169\.254\.77\.1:7754,169\.254\.80\.0\/20,0\.0\.0\.0\/0:53,0\.0\.0\.0:0,unix:.*\/forward\/1\/s$/,
  );
  assert.equal(more[4], `--allow-run=${root}/executors/process/${SHIM},${root}/network/helper/${helper}`);
  await Deno.remove(dir, { recursive: true });
});

Deno.test("launch.sh: what the agent keeps opens no port to it; what its --join named is remembered where it cannot write", async () => {
  const dir = await Deno.makeTempDir(), flags = ["--state-dir", dir, "--docker", "none"];
  await Deno.writeTextFile(
    `${dir}/managers`,
    "10.0.0.1:22\nhost:22\n[fd00::1]:22\n*\n10.0.0.1:7000\nhost:7000\n",
  );
  const net = async (...more: string[]) => (await permissions(...flags, ...more))[3];
  assert.equal(await net(), "--allow-net=0.0.0.0/0:2377" + NAMES + sockets(dir));
  await help(LAUNCHER, dir, Deno.execPath(), "--join", "10.0.0.1:7000");
  assert.equal(await net(), "--allow-net=0.0.0.0/0:2377,0.0.0.0/0:7000,host:7000" + NAMES + sockets(dir));
  assert.equal(
    await net("--join", "a"),
    "--allow-net=0.0.0.0/0:2377,a:2377,0.0.0.0/0:7000,host:7000" + NAMES + sockets(dir),
  );
  for (const join of ["host:7000", "b:1", "c:2,host:7000"]) {
    await help(LAUNCHER, dir, Deno.execPath(), "--join", join);
  }
  assert.equal(await Deno.readTextFile(`${dir}/program/join`), "c:2\nhost:7000\nb:1\n10.0.0.1:7000\n");
  await Deno.remove(dir, { recursive: true });
});

Deno.test("launch.sh: says which process is the agent of a state folder, and none where nobody holds it", async () => {
  const dir = await Deno.makeTempDir(),
    lock = await Deno.open(`${dir}/agent.lock`, { create: true, write: true });
  const running = async () => {
    const args = [LAUNCHER, "--print-running", "--state-dir", dir];
    return new TextDecoder().decode((await new Deno.Command("sh", { args }).output()).stdout).trim();
  };
  assert.equal(await running(), "");
  assert.ok(lock.tryLockSync(true));
  assert.equal(await running(), `${Deno.pid}`);
  lock.close();
  assert.equal(await running(), "");
  await Deno.remove(dir, { recursive: true });
});

Deno.test("Launchers: look for nothing in folders that somebody put into PATH, and take deno by its absolute path only", async () => {
  const dir = await Deno.makeTempDir();
  for (const name of ["cat", "head", "find", "cksum", "mkdir", "sed", "tr", "chmod"]) {
    await Deno.writeTextFile(`${dir}/${name}`, `#!/bin/sh\n>${dir}/hijacked\nexec /usr/bin/${name} "$@"\n`, {
      mode: 0o755,
    });
  }
  await Deno.mkdir(`${dir}/state`);
  await Deno.writeTextFile(`${dir}/state/managers`, "a:1\n");
  for (const launcher of [LAUNCHER, LAUNCHER.replace("agent/", "manager/")]) {
    const start = async (deno: string) => {
      const { code, stderr } = await new Deno.Command("/bin/sh", {
        args: [launcher, "--state-dir", `${dir}/state`, "--docker", "none", "--help"],
        env: { PATH: `${dir}:${Deno.env.get("PATH")}`, COVEY_DENO: deno },
      }).output();
      return [code, new TextDecoder().decode(stderr)] as const;
    };
    assert.equal((await start(Deno.execPath()))[0], 0);
    const [code, said] = await start("bin/deno");
    assert.equal(code, 1);
    assert.match(said, /COVEY_DENO must be deno's absolute path, current value is "bin\/deno"/);
  }
  assert.ok(![...Deno.readDirSync(dir)].some(({ name }) => name === "hijacked"));
  await Deno.remove(dir, { recursive: true });
});

/** Asks a launcher for help, which it must give without another word. */
async function help(launcher: string, stateDir: string, deno = Deno.execPath(), ...flags: string[]) {
  const { stdout, stderr } = await new Deno.Command("sh", {
    args: [launcher, "--state-dir", stateDir, "--docker", "none", "--help", ...flags],
    env: { COVEY_DENO: deno, NO_COLOR: "1" },
  }).output();
  const texts = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.match(texts[0]!, /^Usage: run-agent/);
  assert.equal(texts[1], "");
}

async function copyOfSources(folder: string): Promise<string> {
  const root = fileURLToPath(new URL("../../", import.meta.url));
  const parts = ["api", "transport", "security", "executors", "network", "agent", "deno.json", "deno.lock"];
  const { success } = await new Deno.Command("cp", {
    args: ["-r", ...parts.map((part) => `${root}${part}`), folder],
  }).output();
  assert.ok(success);
  return `${folder}/agent/launch.sh`;
}

Deno.test("launch.sh: runs its modules as one file, made anew when they change or it is damaged", async () => {
  const folder = await Deno.makeTempDir({ prefix: "covey-agent-test-" });
  const launcher = await copyOfSources(folder);
  const stateDir = `${folder}/state`, file = `${stateDir}/program/agent.js`;
  await help(launcher, stateDir, Deno.execPath(), "--executor", "/no/such.ts");
  await assert.rejects(Deno.stat(file), Deno.errors.NotFound);
  await help(launcher, stateDir);
  const made = await Deno.readTextFile(file), { ino } = await Deno.stat(file);
  await help(launcher, stateDir);
  assert.equal((await Deno.stat(file)).ino, ino, "what is right already is not written again");
  await Deno.writeTextFile(file, made.slice(0, 1000));
  await help(launcher, stateDir);
  assert.equal(await Deno.readTextFile(file), made);
  await Deno.writeTextFile(`${folder}/agent/main.ts`, "\nglobalThis.name = 'changed';\n", { append: true });
  await help(launcher, stateDir);
  assert.match(await Deno.readTextFile(file), /changed/);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("launch.sh: runs the modules as they are where no file can be made of them", async () => {
  const stateDir = await Deno.makeTempDir({ prefix: "covey-agent-test-" }), deno = `${stateDir}/deno`;
  await Deno.writeTextFile(deno, `#!/bin/sh\n[ "$1" != bundle ] || exit 1\nexec ${Deno.execPath()} "$@"\n`);
  await Deno.chmod(deno, 0o755);
  await help(LAUNCHER, stateDir, deno);
  assert.deepEqual([...Deno.readDirSync(`${stateDir}/program`)], []);
  await Deno.remove(stateDir, { recursive: true });
});

Deno.test("launch.sh: starts from the sources with no network and no package ever fetched", async () => {
  const stateDir = await Deno.makeTempDir({ prefix: "covey-agent-test-" });
  const { stdout, stderr } = await new Deno.Command("unshare", {
    args: ["--net", "sh", LAUNCHER, "--state-dir", stateDir, "--docker", "none", "--help"],
    env: { COVEY_DENO: Deno.execPath(), DENO_DIR: `${stateDir}/nothing`, NO_COLOR: "1" },
  }).output();
  assert.equal(new TextDecoder().decode(stderr), "");
  assert.match(new TextDecoder().decode(stdout), /^Usage: run-agent/);
  await Deno.remove(stateDir, { recursive: true });
});

Deno.test("launch.sh: tasks of other users get through what it makes above the state folder, whatever its own umask", async () => {
  const folder = await Deno.makeTempDir({ prefix: "covey-agent-test-" }), above = `${folder}/lib`;
  const { success } = await new Deno.Command("sh", {
    args: ["-c", `umask 077; sh "$0" --state-dir ${above}/covey --docker none --help`, LAUNCHER],
    env: { COVEY_DENO: Deno.execPath() },
    stdout: "null",
  }).output();
  assert.ok(success);
  const modeOf = async (path: string) => (await Deno.stat(path)).mode! & 0o777;
  assert.deepEqual([await modeOf(above), await modeOf(`${above}/covey`)], [0o755, 0o700]);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("launch.sh: no step of a start that may ask the network is without a limit", async () => {
  const stateDir = await Deno.makeTempDir({ prefix: "covey-agent-test-" }), deno = `${stateDir}/deno`;
  const script = `#!/bin/sh
case $1 in bundle | cache) echo "$1 under $(cat /proc/$PPID/comm)" >>${stateDir}/steps ;; esac
[ "$1" != bundle ] || exit 1
exec ${Deno.execPath()} "$@"
`;
  await Deno.writeTextFile(deno, script, { mode: 0o755 });
  await help(LAUNCHER, stateDir, deno);
  const steps = async () => (await Deno.readTextFile(`${stateDir}/steps`)).trim().split("\n");
  // From the cache, with the network, and beside the agent.
  await eventually("there are four steps", async () => (await steps()).length === 4);
  const limited = (step: string) => `${step} under timeout`;
  assert.deepEqual((await steps()).sort(), ["bundle", "bundle", "bundle", "cache"].map(limited));
  await Deno.remove(stateDir, { recursive: true });
});

Deno.test("launch.sh: a device that has joined never waits for a network, which is asked beside it for a later start", async () => {
  const stateDir = await Deno.makeTempDir({ prefix: "covey-agent-test-" }), deno = `${stateDir}/deno`;
  // What would go to a network that swallows everything lasts until the test is over.
  const script = `#!/bin/sh
case $1,\${HTTPS_PROXY-} in
  bundle,http://127.0.0.1:9 | cache,http://127.0.0.1:9) exit 1 ;;
  bundle,) echo >${stateDir}/asked; read -r _ <${stateDir}/over ;;
esac
exec ${Deno.execPath()} "$@"
`;
  await Deno.writeTextFile(deno, script, { mode: 0o755 });
  await Deno.mkdir(`${stateDir}/certificates`);
  await new Deno.Command("mkfifo", { args: [`${stateDir}/over`] }).output();
  await help(LAUNCHER, stateDir, deno);
  const file = `${stateDir}/program/agent.js`;
  assert.ok(!await exists(file));
  await eventually("the network is asked", () => exists(`${stateDir}/asked`));
  await Deno.writeTextFile(`${stateDir}/over`, "\n");
  await eventually("the next start has its file", () => exists(`${stateDir}/program/key`));
  await Deno.remove(stateDir, { recursive: true });
});

Deno.test("launch.sh: an agent knows that somebody keeps it from who starts it, and none of its tasks does", async () => {
  const stateDir = await Deno.makeTempDir({ prefix: "covey-agent-test-" }), deno = `${stateDir}/deno`;
  const script = `#!/bin/sh
case $1 in run) echo "$*"; env | grep COVEY_KEPT ;; *) exec ${Deno.execPath()} "$@" ;; esac
`;
  await Deno.writeTextFile(deno, script, { mode: 0o755 });
  const said = async (env: Record<string, string>) => {
    const args = [LAUNCHER, "--state-dir", stateDir, "--docker", "none"];
    const { stdout } = await new Deno.Command("sh", { args, env: { COVEY_DENO: deno, ...env } }).output();
    return new TextDecoder().decode(stdout);
  };
  assert.match(await said({ COVEY_KEPT: "yes" }), / --kept\b/);
  assert.doesNotMatch(await said({ COVEY_KEPT: "yes" }), /COVEY_KEPT/);
  assert.doesNotMatch(await said({}), /kept/i);
  await Deno.remove(stateDir, { recursive: true });
});

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

Deno.test("Sandbox: code inside the agent can neither read, connect, run nor look beyond what it needs", async () => {
  const manager = await RealManager.start();
  const agent = new AgentUnderTest(manager, ["--executor", HOSTILE]);
  agent.start();
  const node = manager.store.get("nodes", await manager.readyNode())!;
  assert.equal(await Deno.readTextFile(`${agent.stateDir}/module0/own`), "allowed");
  assert.deepEqual(node.Description?.Runtimes, ["deno", "hostile", "process"]);
  assert.equal(node.Description?.Engine.Labels?.["refused"], ALL_ATTEMPTS);
  assert.equal(await agent.leave(), 0);
  await manager.stop();
});

Deno.test("Agent process: killed and started again, it finds its tasks and restarts none", async () => {
  const manager = await RealManager.start();
  const agent = new AgentUnderTest(manager);
  agent.start();
  const nodeID = await manager.readyNode();
  const ids = ["a", "b", "c"];
  await manager.assign(nodeID, ids, ["/bin/sleep", "1000"]);
  await manager.until(() => manager.running() === ids.length);
  const pids = () => ids.map((id) => manager.store.get("tasks", id)?.Status.ContainerStatus?.PID);
  const before = pids();
  await agent.kill();
  await manager.store.update((tx) => {
    const node = tx.get("nodes", nodeID)!;
    tx.update("nodes", { ...node, Status: { ...node.Status, State: "unknown" } });
  });
  agent.start();
  assert.equal(await manager.readyNode(), nodeID);
  await manager.assign(nodeID, ["d"], ["/bin/sleep", "1000"]);
  await manager.until(() => manager.running() === 4);
  assert.deepEqual(pids(), before);
  assert.equal(await agent.leave(), 0);
  for (const pid of before) assert.throws(() => Deno.kill(pid!, "SIGCONT"), Deno.errors.NotFound);
  await manager.stop();
});

Deno.test("Agent process: beside a manager it uses that one's identity and joins nothing", async () => {
  const manager = await RealManager.start();
  const folder = await Deno.makeTempDir({ prefix: "covey-agent-test-" });
  const agent = new AgentUnderTest(manager, ["--identity", folder]);
  agent.start();
  await manager.saveIdentity(folder);
  assert.equal(await manager.readyNode(), "manager");
  assert.equal(manager.store.count("nodes"), 1);
  assert.ok(![...Deno.readDirSync(agent.stateDir)].some((entry) => entry.name === "certificates"));
  assert.equal(await agent.leave(), 0);
  await manager.stop();
  await Deno.remove(folder, { recursive: true });
});
