/** An agent where it is meant to be: arm64, busybox only, behind NAT, without a clock, on a disk that loses its power. */
import assert from "node:assert/strict";
import { Arm64Device, HOST_FROM_DEVICE, NO_ARM64 } from "../support/arm64_device.ts";
import { joinToken, startManager } from "../support/one_manager.ts";
import { freePort, inFolder, run, shows } from "../support/programs.ts";

Deno.test({
  name:
    "Device: a bare arm64 machine that believes it is 2001 joins, runs and limits processes, and survives a power cut",
  ignore: NO_ARM64 !== "", // the reason is in the constant
  fn: () =>
    inFolder(async (folder) => {
      const port = freePort(), socket = `${folder}/m/covey.sock`;
      const advertised = `${HOST_FROM_DEVICE}:${port}`;
      const manager = startManager(folder, "m", "--listen", `127.0.0.1:${port}`, "--advertise", advertised);
      const device = await Arm64Device.make(folder);
      try {
        await manager.says(/serves at/);
        await device.switchOn();
        await device.startAgent("--join", advertised, "--token", await joinToken(socket));
        await runsProcesses(device, socket);
        await keepsTasks(device, socket);
        await returnsAfterPowerCut(device, socket);
        assert.equal(await manager.end(), 0);
        assert.doesNotMatch(manager.output, /\[fatal\]|\[error\]/);
      } finally {
        await device.cutPower();
        await manager.end("SIGKILL");
      }
    }),
});

async function runsProcesses(device: Arm64Device, socket: string): Promise<void> {
  await shows(/"Architecture": "aarch64"/, "covey", socket, "node", "inspect", "pi");
  assert.match(await device.run("date +%Y"), /2001/);
  const here = ["--constraint", "node.platform.arch==aarch64", "--limit-memory", "16m"];
  await create(socket, "hello", ...here, "sh", "-c", "uname -m; sleep 1000");
  await create(socket, "elsewhere", "--constraint", "node.platform.arch==x86_64", "sleep", "1000");
  await create(socket, "short", "--restart-condition", "none", "sh", "-c", "exit 3");
  // `tail` of a file without line ends keeps all of it.
  const greedy = "dd if=/dev/zero bs=1M count=64 2>/dev/null | tail";
  await create(socket, "greedy", "--restart-condition", "none", "--limit-memory", "16m", "sh", "-c", greedy);
  await shows(/hello\.\S+ .* pi +Running +Running /, "covey", socket, "service", "ps", "hello");
  await shows(/short\.\S+ .* Failed .*non-zero exit \(3\)/, "covey", socket, "service", "ps", "short");
  await shows(/greedy\.\S+ .* Failed .*memory/, "covey", socket, "service", "ps", "greedy");
  assert.doesNotMatch((await run("covey", socket, "service", "ps", "elsewhere")).stdout, / pi /);
  await device.shows(/^16777216\r?$/m, "cat /sys/fs/cgroup/covey/*/memory.max");
  assert.match(await device.run("cat /var/lib/covey/process/logs/*.log"), /aarch64/);
}

/** The agent is killed; the next one finds the very process. */
async function keepsTasks(device: Arm64Device, socket: string): Promise<void> {
  const task = await tasksOf(socket, "hello"), pid = await device.run("pidof sleep");
  await device.run("kill -9 $(pidof deno)");
  await device.startAgent();
  await shows(/hello\.\S+ .* pi +Running +Running /, "covey", socket, "service", "ps", "hello");
  assert.equal(await tasksOf(socket, "hello"), task);
  assert.equal(await device.run("pidof sleep"), pid);
}

async function returnsAfterPowerCut(device: Arm64Device, socket: string): Promise<void> {
  await device.cutPower();
  await device.switchOn();
  await device.startAgent();
  await device.shows(/^\d+\r?$/m, "pidof sleep");
  await shows(/hello\.\S+ .* pi +Running +Running /, "covey", socket, "service", "ps", "hello");
  for (const name of ["hello", "elsewhere", "short", "greedy"]) {
    await run("covey", socket, "service", "rm", name);
  }
  await shows(/^ID [^\n]*\n$/, "covey", socket, "task", "ls");
  assert.doesNotMatch(await device.run("pidof sleep"), /\d/);
}

async function tasksOf(socket: string, service: string): Promise<string> {
  return (await run("covey", socket, "service", "ps", "-q", service)).stdout;
}

async function create(socket: string, name: string, ...more: string[]): Promise<void> {
  const flags = ["--detach", "--name", name, "--mode", "global", "--executor", "process"];
  const { code, stderr } = await run("covey", socket, "service", "create", ...flags, ...more);
  assert.equal(code, 0, stderr);
}
