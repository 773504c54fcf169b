/** The installed services under a real systemd: what it does to the tasks, and what the units let a manager do. */
import assert from "node:assert/strict";
import { makeBundle } from "../support/bundle.ts";
import { freePort, inFolder } from "../support/programs.ts";
import { pass } from "../support/idle_agent.ts";
import { SystemdDevice } from "../support/systemd_device.ts";

/** The program of the task, by number. */
const TASK = "pgrep -f '^/usr/bin/sleep 100000'";
const INSTALL =
  "mkdir /unpacked; tar -xzf /bundle/*.tar.gz -C /unpacked; sh /unpacked/covey/install.sh --docker none";

Deno.test("Install: a restart of the systemd service, its kill and an upgrade leave every task alone; nothing is left in the end", () =>
  inFolder(async (folder) => {
    // The devices have this machine's Deno.
    await makeBundle(`${folder}/dist`, "--deno", "none");
    const manager = await SystemdDevice.boot(`${folder}/m`, "attic", `${folder}/dist`);
    const device = await SystemdDevice.boot(`${folder}/d`, "pi", `${folder}/dist`);
    try {
      const address = `127.0.0.1:${freePort()}`;
      const said = await manager.run(
        `${INSTALL} --manager --no-agent --listen ${address} --advertise ${address}`,
      );
      assert.match(said, /covey: the manager runs/);
      // Nothing of it needs root.
      assert.match(await manager.run("ps -o user= -C deno"), /^covey\n$/);
      const token = (await manager.run("covey swarm join-token -q worker")).trim();
      assert.match(
        await device.run(`export COVEY_JOIN_TOKEN=${token}; ${INSTALL} --join ${address}`),
        /is connected/,
      );
      await manager.run(
        "covey service create --detach --name hello --mode global --executor process sleep 100000",
      );
      await manager.shows(/ pi +Running +Running /, "covey service ps hello");
      const booted = "systemctl list-dependencies --plain multi-user.target";
      assert.match(await manager.run(booted), /^ *covey-manager.service$/m);
      assert.match(await device.run(booted), /^ *covey-agent.service$/m);
      const report = await device.run("covey doctor");
      for (const check of ["join", "folder", "certificate", "skew", "agent", "unit"]) {
        assert.match(report, new RegExp(`^OK +${check} `, "m"), report);
      }
      await keepsTask(manager, device);
      await isRenewed(manager, device);
      await manager.run("systemctl restart covey-manager");
      await manager.shows(/ pi +Running +Running /, "covey service ps hello");
      for (const one of [device, manager]) {
        assert.match(await one.run("/opt/covey/current/install.sh --uninstall"), /nothing of it is left/);
        await one.shows(
          /^$/,
          "ls -d /opt/covey /etc/covey /var/lib/covey /etc/systemd/system/covey-* 2>/dev/null; pgrep -f '[/]opt/covey/versions'",
        );
        assert.doesNotMatch(await one.run("systemctl --all"), /covey/);
      }
    } finally {
      await device.cutPower();
      await manager.cutPower();
    }
  }));

const AGENT = "systemctl show -P MainPID covey-agent";
/** By then the agent has seen what its memory is compared with, 4 s after its start. */
const FIRST_LOOK_MS = 8_000;

/** One that has grown, by any little at a test's size of its limits, ends and is started again, which is no failure. */
async function isRenewed(manager: SystemdDevice, device: SystemdDevice): Promise<void> {
  const soon = "printf '%s\\n' --renew-percent 0.01 --renew-after 7 >>/etc/covey/agent.flags";
  await device.run(`${soon}; systemctl restart covey-agent`);
  const before = await device.run(AGENT), task = await device.run(TASK);
  await pass(FIRST_LOOK_MS);
  await manager.run(
    "covey service create --detach --name more --replicas 25 --executor process sleep 200000",
  );
  await device.shows(new RegExp(`^(?!0|${before.trim()}\n)\\d+\n$`), AGENT);
  assert.equal(await device.run("systemctl show -P Result covey-agent"), "success\n");
  assert.match(await device.run("systemctl show -P NRestarts covey-agent"), /^[1-9]/);
  await manager.shows(/ pi +Running +Running /, "covey service ps hello");
  assert.equal(await device.run(TASK), task);
}

async function keepsTask(manager: SystemdDevice, device: SystemdDevice): Promise<void> {
  const task = await device.run(TASK);
  assert.match(task, /^\d+\n$/);
  const again = async (command: string) => {
    const before = await device.run(AGENT);
    await device.run(command);
    await device.shows(new RegExp(`^(?!0|${before.trim()}\n)\\d+\n$`), AGENT);
    assert.equal(await device.run(TASK), task, command);
  };
  await again("systemctl restart covey-agent");
  await again("systemctl kill --kill-whom=main -s KILL covey-agent");
  await device.run("cp -R /unpacked/covey /other; echo other >/other/VERSION");
  await again("sh /other/install.sh");
  await device.shows(/^versions\/other\n$/, "readlink /opt/covey/current; ls /opt/covey/trial 2>/dev/null");
  // It listens to the end of the whole service as well: what is in its group is the tasks' business.
  await device.run("systemctl stop covey-agent");
  assert.equal(await device.run(TASK), task);
  await device.run("systemctl start covey-agent");
  await manager.shows(/ pi +Running +Running /, "covey service ps hello");
  assert.equal(await device.run(TASK), task);
}
