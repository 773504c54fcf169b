/** The process that forks the shims: what it is asked, what it leaves, and that programs do without it. */
import assert from "node:assert/strict";
import type { ProcessSpec } from "../../../api/service.ts";
import { defaultShim } from "../../../executors/default_shim.ts";
import { createProcessExecutor } from "../../../executors/process/process_executor.ts";
import { processTask } from "../../conformance/process_fixture.ts";
import { NODE_ID } from "../../conformance/tasks.ts";
import { programLog } from "../../support/program_log.ts";

const never = new AbortController().signal;
const BUSYBOX = await firstOf("/bin/busybox", "/usr/bin/busybox");
const SERVER = defaultShim().replace("shim.sh", "shim_server.sh");
const GROUPS = ["/sys/fs/cgroup/covey", "/sys/fs/cgroup/unified/covey", "/sys/fs/cgroup/pids/covey"];

/** The first of `paths` that is there; empty if none is. */
async function firstOf(...paths: string[]): Promise<string> {
  for (const path of paths) if (await Deno.stat(path).then(() => true, () => false)) return path;
  return "";
}

class World {
  readonly stateDir: string;
  readonly executor: Awaited<ReturnType<typeof createProcessExecutor>>;

  private constructor(stateDir: string, executor: World["executor"]) {
    this.stateDir = stateDir;
    this.executor = executor;
  }

  static async run(test: (world: World) => Promise<void>, shim = defaultShim()): Promise<void> {
    const stateDir = await Deno.makeTempDir({ prefix: "covey-server-" });
    const executor = await createProcessExecutor({ stateDir, nodeID: NODE_ID }, { shim });
    try {
      await test(new World(stateDir, executor));
    } finally {
      await executor.close();
      await Deno.remove(stateDir, { recursive: true });
    }
  }

  async start(spec: ProcessSpec) {
    const task = processTask(spec);
    const controller = await this.executor.controller(task);
    await controller.start(never);
    return { task, controller };
  }

  /** Runs a program to its end; its exit code and output. */
  async ran(spec: ProcessSpec): Promise<[number, string]> {
    const { task, controller } = await this.start(spec);
    const { ExitCode } = await controller.wait(never);
    const log = await programLog(this.stateDir, task.ID);
    await controller.remove(never);
    return [ExitCode, log];
  }

  /** How a program ends that is stopped by `StopSignal`. */
  async stopped(StopSignal: string): Promise<number> {
    const { controller } = await this.start({ Command: "sleep", Args: ["1000"], StopSignal });
    await controller.shutdown(never);
    const { ExitCode } = await controller.wait(never);
    await controller.remove(never);
    return ExitCode;
  }

  /** The server is the one of its forks that leads their session. */
  serverPID(): number {
    const mine = [...Deno.readDirSync("/proc")].filter(({ name }) => /^\d+$/.test(name)).find(({ name }) => {
      try {
        const isOurs = Deno.readTextFileSync(`/proc/${name}/cmdline`).includes(`\0serve\0${this.stateDir}\0`);
        return isOurs && Deno.readTextFileSync(`/proc/${name}/stat`).split(") ")[1]!.split(" ")[3] === name;
      } catch {
        return false;
      }
    });
    return Number(mine!.name);
  }

  /** Control groups that the server has made and that are there. */
  groups(): number {
    const server = this.serverPID();
    return GROUPS.flatMap((dir) => {
      try {
        return [...Deno.readDirSync(dir)].filter(({ name }) => name.startsWith(`${server}-`));
      } catch {
        return [];
      }
    }).length;
  }
}

Deno.test("Shim server: text reaches a program as it is, whatever its lines look like", () =>
  World.run(async (world) => {
    const args = [".", "+more", "a\n.\n+b\n", "arg x", "\\n\\c $(id) `id` '\"", " spaces  ", ""];
    const [code, log] = await world.ran({
      Command: "sh",
      Args: ["-c", 'printf "<%s>" "$@" "$TEXT"', "sh", ...args],
      Env: ["TEXT=one\n.\nrun 1 x\n"],
    });
    assert.equal(code, 0);
    assert.equal(log, [...args, "one\n.\nrun 1 x\n"].map((text) => `<${text}>`).join(""));
  }));

Deno.test("Shim server: a start with many and long arguments holds up no other", () =>
  World.run(async (world) => {
    const long = "line\n".repeat(20_000), args = Array.from({ length: 60_000 }, (_, i) => `argument ${i}`);
    const order: string[] = [];
    const count = 'printf "%s %s %s" "$#" "$1" "${#2}"';
    const large = world.ran({ Command: "sh", Args: ["-c", count, "sh", "", long, ...args] });
    const small = world.ran({ Command: "true" });
    await Promise.all([large.then(() => order.push("large")), small.then(() => order.push("small"))]);
    assert.deepEqual(await large, [0, `${args.length + 2}  ${long.length}`]);
    assert.deepEqual(order, ["small", "large"]);
  }));

Deno.test("Shim server: texts that leave no control character to hold them apart are refused", () =>
  World.run(async (world) => {
    const all = [...Array(31).keys()].map((i) => String.fromCharCode(i + 1)).join("");
    await assert.rejects(world.ran({ Command: "true", Args: [all] }), /nearly every control character/);
    const most = all.slice(0, -2);
    assert.deepEqual(await world.ran({ Command: "printf", Args: ["%s", most] }), [0, most]);
    const total = Array.from({ length: 20 }, () => "x".repeat(120_000));
    await assert.rejects(world.ran({ Command: "true", Args: total }), /longer than 2097152 bytes in all/);
  }));

Deno.test("Shim server: a program takes every stop signal, INT and QUIT too", () =>
  World.run(async (world) => {
    assert.deepEqual(
      [await world.stopped("SIGINT"), await world.stopped("SIGQUIT"), await world.stopped("SIGHUP")],
      [130, 131, 129],
    );
  }));

Deno.test("Shim server: programs go on when it is killed, their end is seen, and others are started", () =>
  World.run(async (world) => {
    const first = await world.start({ Command: "sleep", Args: ["1000"] });
    Deno.kill(world.serverPID(), "SIGKILL");
    // Asked of the dead one or of the next: either way it is answered.
    const second = await world.start({ Command: "sleep", Args: ["1000"] });
    for (const { controller } of [first, second]) {
      assert.notEqual((await controller.status())!.PID, 0);
      await controller.shutdown(never);
      assert.equal((await controller.wait(never)).ExitCode, 143);
      await controller.remove(never);
    }
  }));

Deno.test("Shim server: programs that cannot start leave no control groups behind", () =>
  World.run(async (world) => {
    for (let i = 0; i < 30; i++) {
      await assert.rejects(world.start({ Command: "/nonexistent" }), /no such program/);
    }
    assert.ok(world.groups() <= 8, `${world.groups()} groups are left`);
  }));

Deno.test({
  name: "Shim server: does the same in busybox sh",
  ignore: BUSYBOX === "", // what Alpine and OpenWrt have for a shell
  fn: async () => {
    const shim = await Deno.makeTempFile({ prefix: "covey-busybox-" });
    await Deno.writeTextFile(shim, `#!/bin/sh\nexec setsid ${BUSYBOX} sh ${SERVER} "$@"\n`);
    await Deno.chmod(shim, 0o755);
    await World.run(async (world) => {
      assert.deepEqual(await world.ran({ Command: "sh", Args: ["-c", 'printf %s "$0"; exit 3', "a\nb"] }), [
        3,
        "a\nb",
      ]);
      assert.deepEqual([await world.stopped("SIGINT"), await world.stopped("SIGTERM")], [130, 143]);
      await assert.rejects(world.start({ Command: "/nonexistent" }), /no such program/);
    }, shim);
    await Deno.remove(shim);
  },
});
