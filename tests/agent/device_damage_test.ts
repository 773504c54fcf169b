/**
 * A device whose files are damaged or cannot be written, while its programs run. `COVEY_TEST_DAMAGE=1` takes every file of its
 * state, one after the other, instead of some.
 */
import assert from "node:assert/strict";
import { eventually } from "../support/programs.ts";
import { cannotMount, Device } from "./support/device.ts";
import { RealManager } from "./support/real_manager.ts";

const ignore = await cannotMount(); // reason: needs a file system of its own, and so root
const isLong = Deno.env.get("COVEY_TEST_DAMAGE") !== undefined;
/** What is damaged in the short form. */
const SOME = ["tasks.kv", "certificates/swarm-node.key", "process/runs/a"];
/** Bits that flip in one file. */
const FLIPS = 5;
/** No state: what a program has, prints, or is. */
const NO_STATE = /^(process\/(tasks\/|logs\/|artifacts\/|serving)|reserve$)/;

/** Files below a folder, by their paths in it. */
function filesIn(folder: string, prefix = ""): string[] {
  return [...Deno.readDirSync(`${folder}/${prefix}`)].flatMap(({ name, isDirectory, isFile }) =>
    isDirectory ? filesIn(folder, `${prefix}${name}/`) : isFile ? [prefix + name] : []
  );
}

function flip(path: string, seed: number): void {
  const bytes = Deno.readFileSync(path);
  for (let n = 0; n < FLIPS && bytes.length > 0; n++) {
    // Also near the front, where a file says what it is.
    const at = n === 0 ? Math.min(bytes.length - 1, 7) : (seed * 7919 + n * 104_729) % bytes.length;
    bytes[at]! ^= 1 << ((seed + n) % 8);
  }
  Deno.writeFileSync(path, bytes);
}

/** The agent's own files as they were, and a record of a program; programs that run keep their folders. */
function restore(stateDir: string, whole: Map<string, Uint8Array>, damaged: string): void {
  for (const path of filesIn(stateDir)) {
    if (!path.startsWith("process/")) Deno.removeSync(`${stateDir}/${path}`);
  }
  for (const [path, bytes] of whole) {
    if (!path.startsWith("process/") || path === damaged) {
      Deno.writeFileSync(`${stateDir}/${path}`, bytes, { mode: 0o600 });
    }
  }
}

/** Runs `test` with a device that has two programs running and whose agent was killed. */
async function withDevice(test: (device: Device, manager: RealManager, pids: number[]) => Promise<void>) {
  const manager = await RealManager.start(), device = await Device.make(32);
  try {
    device.join(manager);
    const nodeID = await manager.readyNode();
    await manager.assign(nodeID, ["a", "b"], ["/bin/sleep", "1000"]);
    await manager.until(() => manager.running() === 2);
    const pids = device.running();
    assert.equal(pids.length, 2);
    await device.agent.end("SIGKILL");
    await test(device, manager, pids);
  } finally {
    await device.close();
    await manager.stop();
  }
}

const live = (pids: number[]) =>
  pids.filter((pid) => {
    try {
      return !/\) Z/.test(Deno.readTextFileSync(`/proc/${pid}/stat`));
    } catch {
      return false;
    }
  });

Deno.test({
  name:
    "Device: with flipped bits in a file of its state it starts, or says what to do, and its programs go on",
  ignore,
  fn: () =>
    withDevice(async (device, manager, pids) => {
      const all = filesIn(device.stateDir).filter((path) => !NO_STATE.test(path)).toSorted();
      const whole = new Map(all.map((path) => [path, Deno.readFileSync(`${device.stateDir}/${path}`)]));
      for (const [seed, path] of (isLong ? all : SOME).entries()) {
        flip(`${device.stateDir}/${path}`, seed);
        device.start("--join", manager.address);
        // A message of warning says what to do; an end with a reason does, too.
        await device.agent.says(/is connected|Cannot /);
        if (isLong) {
          const said = device.agent.output.split("\n").find((line) =>
            /Cannot |Starting without/.test(line)
          ) ?? "is connected";
          console.log(`${path}: ${said.slice(0, 240)}`);
        }
        await new Promise((resolve) => setTimeout(resolve, isLong ? 5000 : 1000));
        assert.doesNotMatch(device.agent.output, /Uncaught|panicked/, path);
        assert.deepEqual(live(pids), pids, `${path}: ${device.agent.output}`);
        assert.equal(device.programs("/bin/sleep").length, pids.length, `${path}: no second one was started`);
        await device.agent.end("SIGKILL");
        restore(device.stateDir, whole, path);
      }
    }),
});

Deno.test({
  name: "Device: where nothing can be written the agent says so, touches no program, and goes on once it can",
  ignore,
  fn: () =>
    withDevice(async (device, manager, pids) => {
      device.isReadOnly = true;
      device.start("--join", manager.address);
      await device.agent.says(/Cannot .*[Rr]ead-only file system/);
      assert.deepEqual(live(pids), pids);
      await device.agent.end();
      device.isReadOnly = false;
      device.start("--join", manager.address);
      await device.agent.says(/is connected/);
      await eventually("its tasks are known to run", () => Promise.resolve(manager.running() === 2));
      assert.deepEqual(live(pids), pids);
    }),
});
