/** A device whose disk is full or damaged, and which reboots with no manager in reach. */
import assert from "node:assert/strict";
import { eventually } from "../support/programs.ts";
import { cannotMount, Device } from "./support/device.ts";
import { RealManager } from "./support/real_manager.ts";

const ignore = await cannotMount();

/** Runs `test` on a device with two tasks, which loses power and its manager; `damage` happens meanwhile. */
async function afterPowerCut(damage: (device: Device) => unknown, test: (device: Device) => Promise<void>) {
  const manager = await RealManager.start();
  const device = await Device.make(16);
  try {
    device.join(manager);
    const nodeID = await manager.readyNode();
    await manager.assign(nodeID, ["a", "b"], ["/bin/sleep", "1000"]);
    await manager.until(() => manager.running() === 2);
    await device.cutPower();
    await damage(device);
    device.start("--join", manager.address);
    await manager.stop();
    await test(device);
  } finally {
    await device.close();
  }
}

const files = (device: Device) => [...Deno.readDirSync(device.stateDir)].map(({ name }) => name);
const bothRun = (device: Device) =>
  eventually(
    "both tasks run",
    () => Promise.resolve(device.running().length === 2),
    () => device.agent.output,
  );

Deno.test({
  name: "Device: with a full disk and no manager, a reboot runs the tasks again, twice in a row",
  ignore, // needs a file system of its own, and so root
  fn: () =>
    afterPowerCut((device) => device.fill(), async (device) => {
      await bothRun(device);
      // No room at all: not even for SQLite to open what it wrote.
      await device.cutPower();
      await Deno.remove(`${device.stateDir}/tasks.kv-shm`);
      device.fill();
      device.start("--join", "127.0.0.1:1");
      await device.agent.says(/Cannot take up the tasks yet.*I\/O error; see that .* has room/);
      await Deno.remove(`${device.disk}/filler`);
      await bothRun(device);
      assert.deepEqual(files(device).filter((name) => name.includes("damaged")), []);
    }),
});

Deno.test({
  name: "Device: a damaged certificate keeps no local task from running after a reboot, and is said",
  ignore,
  fn: () =>
    afterPowerCut(async (device) => {
      for (const name of ["swarm-node.crt", "swarm-node.key"]) {
        await Deno.writeTextFile(`${device.stateDir}/certificates/${name}`, "garbage");
      }
    }, async (device) => {
      await bothRun(device);
      await device.agent.says(/Cannot load node identity from .*certificates/);
    }),
});
