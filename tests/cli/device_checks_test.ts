/** What `covey doctor` says of an agent on this device. */
import assert from "node:assert/strict";
import { checkDevice, type DeviceOptions } from "../../cli/device_checks.ts";
import { createTestCluster, DAY_MS } from "../security/fixtures.ts";
import { inFolder } from "../support/programs.ts";

const NOW = Date.UTC(2026, 10, 1);

/** The findings of one check, as LEVEL FOUND. */
async function findings(check: string, options: Partial<DeviceOptions>): Promise<string[]> {
  const all = await checkDevice({
    stateDir: "/no/state",
    join: [],
    nowMs: NOW,
    launcherSays: () => Promise.resolve([]),
    unitFolders: [],
    ...options,
  });
  return all.filter((finding) => finding.check === check).map(({ level, found }) => `${level} ${found}`);
}

Deno.test("Doctor: sees a service whose restart would end every task, and one that nobody restarts, by its unit", () =>
  inFolder(async (folder) => {
    const unit = (name: string, more: string, start = "/opt/covey/start.sh agent") =>
      Deno.writeTextFile(`${folder}/${name}.service`, `[Service]\nExecStart=${start}\n${more}`);
    await unit("good", "KillMode=process\nRestart=always\n");
    await unit("once", "KillMode=process\n");
    await unit("bare", "Restart=always\n", "/usr/bin/deno task run-agent --join a");
    await unit("mixed", "KillMode=mixed\nRestart=on-failure\n", "/srv/covey/agent/launch.sh");
    await unit("other", "", "/usr/bin/other");
    assert.deepEqual((await findings("unit", { unitFolders: ["/no/folder", folder] })).sort(), [
      `ok ${folder}/good.service`,
      `warn ${folder}/bare.service has KillMode=control-group`,
      `warn ${folder}/mixed.service has KillMode=mixed`,
      `warn ${folder}/once.service has Restart=no`,
    ]);
  }));

Deno.test("Doctor: tries each manager's port, and says what came of it", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  const join = [`127.0.0.1:${port}`];
  assert.deepEqual(await findings("join", { join }), [`ok 127.0.0.1:${port} lets this device connect`]);
  listener.close();
  assert.deepEqual(await findings("join", { join }), [`warn 127.0.0.1:${port}: Connection refused`]);
});

Deno.test("Doctor: a folder that is missing, open to others, or holds what was damaged is said", () =>
  inFolder(async (folder) => {
    const stateDir = `${folder}/state`;
    const look = () => findings("folder", { stateDir });
    assert.deepEqual(await look(), [`warn ${stateDir} is not there`]);
    await Deno.mkdir(stateDir, { mode: 0o755 });
    assert.deepEqual(await look(), [`warn ${stateDir} is open to others (mode 755)`]);
    await Deno.chmod(stateDir, 0o700);
    assert.deepEqual(await look(), [`ok ${stateDir}`]);
    await Deno.writeTextFile(`${stateDir}/tasks.kv.damaged-1`, "");
    assert.deepEqual(await look(), [`warn ${stateDir}/tasks.kv.damaged-1 was found damaged`]);
  }));

Deno.test("Doctor: a clock behind what a manager proved to have passed is said, with by how much", () =>
  inFolder(async (stateDir) => {
    const look = () => findings("skew", { stateDir });
    assert.deepEqual(await look(), ["ok no manager's time is known yet"]);
    await Deno.writeTextFile(`${stateDir}/clock-floor`, "2026-11-03T00:00:00.000Z 0123456789abcdef\n");
    assert.deepEqual(await look(), ["warn this clock is 2 days behind"]);
  }));

Deno.test("Doctor: a certificate is said with its node, and when it has ended, ends soon, or has yet to begin", () =>
  inFolder(async (stateDir) => {
    const cluster = await createTestCluster(),
      start = cluster.clock.now(),
      days = (n: number) => start + n * DAY_MS;
    const look = async (nowMs: number) => (await findings("certificate", { stateDir, nowMs }))[0]!;
    assert.equal(await look(start), "warn none: this device has not joined");
    await Deno.mkdir(`${stateDir}/certificates`);
    const node = await cluster.node("n1", "swarm-worker", 30 * DAY_MS);
    await Deno.writeTextFile(`${stateDir}/certificates/swarm-node.crt`, node.certificateChainPEM);
    assert.match(await look(days(1)), /^ok node n1, until [-0-9T:.]+Z$/);
    assert.match(await look(days(29.5)), /^warn node n1, .*: 12 h left$/);
    assert.match(await look(days(31)), /^warn node n1, .*: expired$/);
    assert.match(await look(days(-31)), /^warn node n1, .*: valid from .* on$/);
    await Deno.writeTextFile(`${stateDir}/certificates/swarm-node.crt`, "torn");
    assert.match(await look(start), /swarm-node.crt is damaged$/);
  }));
