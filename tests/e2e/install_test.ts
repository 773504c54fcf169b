/** A newcomer's path: bare devices, one line on the manager, one line on the device, and all that comes after. */
import assert from "node:assert/strict";
import { BareDevice } from "../support/bare_device.ts";
import { makeBundle, serveFolder } from "../support/bundle.ts";
import { freePort, inFolder } from "../support/programs.ts";

/** A manager and a device on which nothing is installed yet, and the address of the bundle. */
interface Given {
  folder: string;
  manager: BareDevice;
  device: BareDevice;
  /** What fetches and runs the installer; flags follow. */
  line: (environment?: string) => string;
  port: number;
}

const BEAT = "setInterval(() => console.log('beat'), 1000)";

/** One bundle for all tests: to pack Deno takes long. */
const DIST = Deno.makeTempDirSync({ prefix: "covey-dist-" });
Deno.test.beforeAll(async () => void await makeBundle(DIST));
Deno.test.afterAll(() => Deno.remove(DIST, { recursive: true }));

async function withDevices(test: (given: Given) => Promise<void>): Promise<void> {
  await inFolder(async (folder) => {
    const web = serveFolder(DIST), port = freePort();
    const manager = await BareDevice.make(`${folder}/m`, "attic"),
      device = await BareDevice.make(`${folder}/d`, "pi");
    const url = `http://127.0.0.1:${web.port}`;
    const line = (environment = "") =>
      `wget -qO- ${url}/install.sh | ${environment} sh -s -- --from ${url} --docker none`;
    try {
      await manager.switchOn();
      await device.switchOn();
      await test({ folder, manager, device, line, port });
    } finally {
      await device.cutPower();
      await manager.cutPower();
      await web.stop();
    }
  });
}

/** Installs both, and returns the one line of the device. */
async function installBoth({ manager, device, line, port }: Given): Promise<void> {
  const said = await manager.run(
    `${line()} --manager --no-agent --listen 127.0.0.1:${port} --advertise 127.0.0.1:${port}`,
  );
  assert.match(said, /covey: the manager runs/);
  const token = (await manager.run("covey swarm join-token -q worker")).trim();
  const joined = await device.run(
    `${line(`COVEY_JOIN_TOKEN=${token}`)} --join 127.0.0.1:${port} --label site=attic`,
  );
  assert.match(joined, /OK +architecture/);
  assert.match(joined, /covey: this device is connected/);
  await manager.run(`echo "${BEAT}" >/beat.js`);
  const create = "covey service create --detach --mode global --constraint engine.labels.site==attic";
  await manager.run(`${create} --name hello --executor process sleep 100000`);
  await manager.run(`${create} --name beat --executor deno /beat.js`);
  await manager.shows(/ pi +Running +Running /, "covey service ps hello");
  await manager.shows(/ pi +Running +Running /, "covey service ps beat");
}

/** Lists the programs of both tasks, by number. */
const TASKS = "ps -o pid,args | awk '/[s]leep 100000|[r]un --quiet/ { print $1 }'";

Deno.test("Install: one line makes a manager, one a device; it survives a reboot with no manager, and nothing of it is left", () =>
  withDevices(async (given) => {
    const { manager, device } = given;
    await installBoth(given);
    assert.equal(await device.run("ls /etc/covey"), "agent.flags\n", "the token is not kept");
    // The keeper, and the agent itself: no launcher, no wrapper.
    assert.match(
      await device.run("ps -o pid,args | grep -E '[l]aunch.sh|[s]tart.sh' "),
      /^ *\d+ .*start.sh keep agent\n$/,
    );
    await manager.cutPower();
    await device.cutPower();
    // What was written last may not be on the disk.
    const runs = `${given.folder}/d/var/lib/covey/process/runs`;
    for (const { name } of [...Deno.readDirSync(runs)]) await Deno.remove(`${runs}/${name}`);
    await device.switchOn();
    await device.shows(/^\d+\n\d+\n$/, TASKS);
    assert.doesNotMatch(await device.run("cat /var/log/covey-agent.log | tail -n 3"), /rror/);
    const offline = await device.run(TASKS);
    await manager.switchOn();
    await manager.shows(/ pi +Running +Running /, "covey service ps hello");
    assert.equal(await device.run(TASKS), offline);
    const said = await device.run("/opt/covey/current/install.sh --uninstall");
    assert.match(said, /2 tasks were stopped/);
    assert.match(said, /nothing of it is left/);
    assert.equal(await device.run(TASKS), "");
    const left = "find / -xdev -name '*covey*' -not -path '/proc/*'; ps -o args | grep -E '[c]ovey|[d]eno'";
    await device.shows(/^$/, left);
  }));

/** A bundle on the device that is another version: made of the one that runs, and changed by `more`. */
async function otherVersion(device: BareDevice, name: string, more = "true"): Promise<void> {
  const said = await device.run(
    `cp -R $(readlink -f /opt/covey/current) /${name} && echo ${name} >/${name}/VERSION && cd /${name} && ${more}; cd /`,
  );
  assert.equal(said, "");
}

Deno.test("Install: an upgrade restarts no task, and one that reaches no manager is taken back, after a power cut too", () =>
  withDevices(async (given) => {
    const { manager, device, line, port } = given,
      version = "readlink /opt/covey/current; ls /opt/covey/trial 2>/dev/null";
    await installBoth(given);
    const tasks = await device.run(TASKS);
    await otherVersion(device, "good");
    assert.match(await device.run("sh /good/install.sh"), /this device is connected/);
    await device.shows(/^versions\/good\n$/, version);

    await otherVersion(device, "silent", "echo 'setInterval(() => {}, 1000)' >agent/main.js");
    const back = await device.run("sh /silent/install.sh --deadline 2 2>&1");
    assert.match(back, /version silent did not reach a manager; the device is back at good/);
    await otherVersion(device, "broken", "echo broken >bin/deno");
    assert.match(await device.run("sh /broken/install.sh 2>&1"), /Deno [0-9.]+ does not run on this device/);
    assert.equal(await device.run(version), "versions/good\n");
    await device.shows(/covey-agent runs/, "/etc/init.d/covey-agent status");
    await manager.shows(/ pi +Running +Running /, "covey service ps hello");
    assert.equal(await device.run(TASKS), tasks);

    await device.run("sh /silent/install.sh --deadline 4 >/dev/null 2>&1 &");
    await device.shows(/^versions\/silent/, version);
    await device.cutPower();
    await device.switchOn();
    await device.shows(/^versions\/good\n$/, version);
    await device.shows(/^\d+\n\d+\n$/, TASKS);

    const again = `${line("COVEY_JOIN_TOKEN=$(cat /token)")} --join 127.0.0.1:${port} --label site=attic`;
    await device.run(`echo ${(await manager.run("covey swarm join-token -q worker")).trim()} >/token`);
    assert.match(await device.run(again), /to join anew, 'covey leave' first/);
    assert.match(await device.run("covey leave 2>&1"), /2 tasks were stopped/);
    assert.equal(await device.run(TASKS), "");
    assert.match(await device.run(again), /this device is connected/);
    await device.shows(/^\d+\n\d+\n$/, TASKS);
  }));
