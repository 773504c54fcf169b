import assert from "node:assert/strict";
import { CoveyError } from "../../../api/errors.ts";
import type { ProcessSpec } from "../../../api/service.ts";
import type { Task } from "../../../api/task.ts";
import type { Controller, Exit } from "../../../executors/executor.ts";
import { createProcessExecutor } from "../../../executors/process/process_executor.ts";
import { processFixture, processTask, shimsOf } from "../../conformance/process_fixture.ts";
import { NODE_ID } from "../../conformance/tasks.ts";
import { copyShim } from "./hostile_agent.ts";
import { programLog } from "../../support/program_log.ts";

const never = new AbortController().signal;
type World = Awaited<ReturnType<typeof processFixture>>;

async function started(world: World, task: Task) {
  const executor = await world.executor();
  const controller = await executor.controller(task);
  try {
    await controller.prepare(never);
    await controller.start(never);
  } catch (error) {
    await executor.close();
    throw error;
  }
  return { executor, controller };
}

async function inWorld(run: (world: World) => Promise<void>, options = {}) {
  const world = await processFixture(options);
  try {
    await run(world);
  } finally {
    await world.close();
  }
}

/** Runs a program to its end. */
async function ran(world: World, spec: ProcessSpec, limits?: object): Promise<{ exit: Exit; log: string }> {
  const task = processTask(spec);
  if (limits) task.Spec.Resources = { Limits: limits };
  const { executor, controller } = await started(world, task);
  const exit = await controller.wait(never);
  const log = await programLog(world.stateDir, task.ID);
  await controller.remove(never);
  await controller.close();
  await executor.close();
  return { exit, log };
}

async function isGone(pid: number): Promise<boolean> {
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`).catch(() => "");
  return stat === "" || stat.includes(") Z ");
}

Deno.test("Process: a state folder that was lost is named, and no other agent blamed for it", () =>
  inWorld(async (world) => {
    const executor = await world.executor();
    const before = await executor.controller(processTask({ Command: "true" }));
    await before.prepare(never);
    await before.start(never);
    await before.wait(never);
    await before.remove(never);
    for await (const { name } of Deno.readDir(world.stateDir)) {
      await Deno.remove(`${world.stateDir}/${name}`, { recursive: true });
    }
    const controller = await executor.controller(processTask({ Command: "true" }));
    await assert.rejects(async () => {
      await controller.prepare(never);
      await controller.start(never);
    }, (error: Error) => {
      assert.doesNotMatch(error.message, /another agent/);
      assert.ok(error.message.includes(world.stateDir), error.message);
      return true;
    });
    await executor.close();
  }));

Deno.test("Process: a program sees its arguments, variables and folder, and nothing of the agent", () =>
  inWorld(async (world) => {
    const script = 'printf "%s|" "$@"; pwd; env | sort';
    const { log } = await ran(world, {
      Command: "sh",
      Args: ["-c", script, "sh", "a b", "c'd", "", "*"],
      Env: ["GREETING=two\nlines", "id=x", "IFS=:"],
      Dir: "/usr",
    });
    const lines = log.split("\n");
    assert.equal(lines[0], "a b|c'd||*|/usr");
    const names = lines.slice(1).map((line) => line.split("=")[0]).filter((name) => name !== "");
    assert.deepEqual(
      names.filter((name) => !["PWD", "IFS"].includes(name!)),
      ["GREETING", "PATH", "id", "lines"].sort(),
    );
  }));

Deno.test("Process: what keeps a program from starting is named with its field", () =>
  inWorld(async (world) => {
    const plain = `${world.stateDir}/plain`;
    await Deno.writeTextFile(plain, "#!/bin/sh\n", { mode: 0o644 });
    const cases: [ProcessSpec, string, string][] = [
      [{ Command: "/no/such" }, "ProcessSpec.Command", "no such program: /no/such"],
      [{ Command: "no-such-name" }, "ProcessSpec.Command", "no such program: no-such-name"],
      [{ Command: plain }, "ProcessSpec.Command", `not executable: ${plain}`],
      [{ Command: "/usr" }, "ProcessSpec.Command", "no such program: /usr"],
      [{ Command: "true", Dir: "/no/such" }, "ProcessSpec.Dir", "cannot enter /no/such"],
      [{ Command: "true", User: "no-such-user" }, "ProcessSpec.User", "no such user: no-such-user"],
      [{ Command: "true", User: "0:no-such-group" }, "ProcessSpec.User", "no such group: no-such-group"],
    ];
    for (const [spec, field, message] of cases) {
      const task = processTask(spec);
      await assert.rejects(started(world, task), (error: unknown) => {
        assert.ok(error instanceof CoveyError && !error.retryable);
        assert.deepEqual(error.problems, [{ field, message }]);
        return true;
      });
      assert.deepEqual(await world.traces(task), []);
    }
  }));

Deno.test("Process: a script whose interpreter is missing says so, a carriage return at its line's end too", () =>
  inWorld(async (world) => {
    const script = `${world.stateDir}/script`;
    const lines = [["#! /no/such -x", "/no/such"], ["#!/bin/sh\r", "/bin/sh\\x0d"], ["#!/bin/sh"], [
      "exit 127",
    ]];
    for (const [line, lost] of lines) {
      await Deno.writeTextFile(script, `${line}\nexit 127\n`, { mode: 0o755 });
      const { executor, controller } = await started(world, processTask({ Command: script }));
      const expected = { ExitCode: 127, ...lost ? { Reason: `no such interpreter: ${lost}` } : {} };
      // The last is no program for the kernel at all, and shells disagree on what that is called.
      if (line !== "exit 127") assert.deepEqual(await controller.wait(never), expected);
      else assert.equal((await controller.wait(never)).Reason, undefined);
      await controller.remove(never);
      await executor.close();
    }
  }));

Deno.test("Process: every problem of a spec is reported at once", () =>
  inWorld(async (world) => {
    const executor = await world.executor();
    const task = processTask({
      Command: "",
      Env: ["=x", "COVEY_USER=root"],
      StopSignal: "SIGNO",
      StopGracePeriod: -1,
    });
    await assert.rejects(executor.controller(task), (error: unknown) => {
      assert.deepEqual((error as CoveyError).problems.map(({ field }) => field), [
        "ProcessSpec.Command",
        "ProcessSpec.Env[0]",
        "ProcessSpec.Env[1]",
        "ProcessSpec.StopSignal",
        "ProcessSpec.StopGracePeriod",
      ]);
      return true;
    });
    await executor.close();
  }));

Deno.test("Process: the stop signal is the one asked for, SIGINT too", () =>
  inWorld(async (world) => {
    const script = "trap 'exit 9' INT; echo ready; while :; do sleep 100 & wait; done";
    const task = processTask({ Command: "sh", Args: ["-c", script], StopSignal: "SIGINT" });
    const { executor, controller } = await started(world, task);
    await logged(world, task, "ready\n");
    await controller.shutdown(never);
    assert.equal((await controller.wait(never)).ExitCode, 9);
    await controller.remove(never);
    await executor.close();
  }));

/** Waits until a task's log reads `text`. */
async function logged(world: World, task: Task, text: string): Promise<void> {
  const path = `${world.stateDir}/logs/${task.ID}.log`;
  const watcher = Deno.watchFs(`${world.stateDir}/logs`);
  try {
    if (await Deno.readTextFile(path).catch(() => "") === text) return;
    for await (const _ of watcher) if (await Deno.readTextFile(path).catch(() => "") === text) return;
  } finally {
    try {
      watcher.close();
    } catch {
      // Leaving the loop closed it.
    }
  }
}

Deno.test("Process: nothing that a program started is left when it ends or is stopped", () =>
  inWorld(async (world) => {
    for (const ending of ["exit 0", "wait"]) {
      const script = `sleep 1000 & setsid sleep 1000 & echo "$!" >pids; echo ready; ${ending}`;
      const task = processTask({ Command: "sh", Args: ["-c", script] });
      const { executor, controller } = await started(world, task);
      if (ending === "wait") {
        await logged(world, task, "ready\n");
        await controller.shutdown(never);
      }
      await controller.wait(never);
      const escaped = await Deno.readTextFile(`${world.stateDir}/tasks/${task.ID}/pids`);
      assert.ok(await isGone(Number(escaped)));
      await controller.remove(never);
      await executor.close();
    }
  }));

Deno.test("Process: killing the shim of a running task ends the task, and its program with it", () =>
  inWorld(async (world) => {
    for (const readopted of [false, true]) {
      const task = processTask({ Command: "sleep", Args: ["1000"] });
      let { executor, controller } = await started(world, task);
      if (readopted) {
        const handle = controller.handle()!;
        await executor.close();
        executor = await world.executor();
        controller = await executor.recover(task, handle);
      }
      const { PID } = (await controller.status())!;
      const waiting = controller.wait(never);
      for (const pid of await shimsOf(world.stateDir, task.ID)) Deno.kill(pid, "SIGKILL");
      assert.deepEqual(await waiting, { ExitCode: 137, Reason: "its shim was killed" });
      assert.ok(await isGone(PID));
      await controller.remove(never);
      await executor.close();
    }
  }));

Deno.test("Process: a shim that was killed while no agent ran is noticed, and its program ended", () =>
  inWorld(async (world) => {
    const task = processTask({ Command: "sleep", Args: ["1000"] });
    const { executor, controller } = await started(world, task);
    const { PID } = (await controller.status())!;
    const handle = controller.handle()!;
    await executor.close();
    for (const pid of await shimsOf(world.stateDir, task.ID)) Deno.kill(pid, "SIGKILL");
    const next = await world.executor();
    await assert.rejects(next.recover(task, handle), { code: "not_found" });
    assert.ok(await isGone(PID));
    assert.deepEqual(await world.traces(task), []);
    await next.close();
  }));

Deno.test("Process: a program whose record a power cut took is not waited for, one that was never started still is", () =>
  inWorld(async (world) => {
    const task = processTask({ Command: "true" });
    const executor = await world.executor(), fresh = await executor.controller(task);
    await fresh.prepare(never);
    const prepared = fresh.handle()!;
    await executor.close();
    const second = await world.executor(), controller = await second.recover(task, prepared);
    await controller.start(never);
    await controller.wait(never);
    const handle = controller.handle()!;
    await second.close();
    await Deno.remove(`${world.stateDir}/runs/${task.ID}`);
    const next = await world.executor();
    await assert.rejects(next.recover(task, handle), { code: "not_found" });
    assert.deepEqual(await world.traces(task), []);
    await next.close();
  }));

Deno.test("Process: a pid that now belongs to somebody else is never taken for the task's", () =>
  inWorld(async (world) => {
    const bystander = new Deno.Command("sleep", { args: ["1000"] }).spawn();
    const task = processTask({ Command: "sleep", Args: ["1000"] });
    const { executor, controller } = await started(world, task);
    const handle = controller.handle()!;
    await world.vanish(task, controller);
    await controller.wait(never);
    await executor.close();
    const boot = (await Deno.readTextFile("/proc/sys/kernel/random/boot_id")).trim();
    for (const record of [`${boot} ${bystander.pid} 1`, `another-boot ${bystander.pid} 1`]) {
      await Deno.writeTextFile(`${world.stateDir}/runs/${task.ID}`, `${record}\n${record}\n`);
      const next = await world.executor();
      await assert.rejects(next.recover(task, handle), { code: "not_found" });
      await next.close();
      await Deno.mkdir(`${world.stateDir}/tasks/${task.ID}`, { recursive: true });
    }
    assert.ok(!(await isGone(bystander.pid)));
    bystander.kill("SIGKILL");
    await bystander.status;
  }));

Deno.test("Process: a folder left by an earlier boot does not keep a task from starting", () =>
  inWorld(async (world) => {
    const task = processTask({ Command: "true" });
    const executor = await world.executor();
    await Deno.mkdir(`${world.stateDir}/tasks/${task.ID}`, { recursive: true });
    await Deno.writeTextFile(`${world.stateDir}/runs/${task.ID}`, "another-boot 1\n");
    const controller = await executor.controller(task);
    await controller.start(never);
    assert.equal((await controller.wait(never)).ExitCode, 0);
    await controller.remove(never);
    await executor.close();
  }));

Deno.test("Process: more memory than the limit ends a program, and the reason says so", () =>
  inWorld(async (world) => {
    const script = 'x=$(head -c 100000000 /dev/zero | tr "\\0" x); echo survived';
    const { exit, log } = await ran(world, { Command: "sh", Args: ["-c", script] }, { MemoryBytes: 16e6 });
    assert.notEqual(exit.ExitCode, 0);
    // Where there is no cgroup to say it, the program's own words do.
    assert.ok(exit.Reason === "out of memory" || log !== "survived\n");
  }));

Deno.test("Process: what ended a program is said, be it a code or a signal", () =>
  inWorld(async (world) => {
    const ends = async (script: string) => (await ran(world, { Command: "sh", Args: ["-c", script] })).exit;
    assert.deepEqual(await ends("exit 3"), { ExitCode: 3 });
    assert.deepEqual(await ends("kill -SEGV $$"), { ExitCode: 139, Reason: "as by signal SEGV" });
    assert.deepEqual(await ends("exit 128"), { ExitCode: 128 });
    assert.deepEqual(await ends("exit 255"), { ExitCode: 255 });
  }));

Deno.test("Process: a program may start as many processes as its limit says, one included, with control groups or without", () =>
  inWorld(async (world) => {
    const shims = [
      undefined,
      await copyShim(world.stateDir, (text) => text.replaceAll("/sys/fs/cgroup", "/none")),
    ];
    for (const shim of shims) {
      const executor = await createProcessExecutor({ stateDir: world.stateDir, nodeID: NODE_ID }, {
        ...shim && { shim },
      });
      const runs = async (script: string, Pids: number) => {
        const task = processTask({ Command: "sh", Args: ["-c", script] });
        task.Spec.Resources = { Limits: { Pids } };
        const controller = await executor.controller(task);
        await controller.start(never);
        const { ExitCode } = await controller.wait(never);
        const log = await Deno.readTextFile(`${world.stateDir}/logs/${task.ID}.log`);
        await controller.remove(never);
        return { ExitCode, log };
      };
      assert.deepEqual(await runs("echo alone", 1), { ExitCode: 0, log: "alone\n" });
      const many = await runs("exec 2>&1; for i in 1 2 3 4 5 6 7 8; do sleep 0.2 & done; wait; echo all", 5);
      // Without control groups the limit is the user's: it takes a user of the task's own.
      if (!shim || Deno.uid() === 0) assert.match(many.log, /fork/i);
      await executor.close();
    }
  }));

Deno.test("Process: an allow-list decides what may run", () =>
  inWorld(async (world) => {
    const list = `${world.stateDir}/allow`,
      shim = await copyShim(
        world.stateDir,
        (text) => text.replace("ALLOW=/etc/covey/allow", `ALLOW=${list}`),
      );
    const sleep = await Deno.realPath("/usr/bin/sleep");
    await Deno.writeTextFile(list, `# two programs\n${sleep}\n${world.stateDir}/apps/*`);
    const executor = await createProcessExecutor({ stateDir: world.stateDir, nodeID: NODE_ID }, { shim });
    const tryOut = async (spec: ProcessSpec) => {
      const controller = await executor.controller(processTask(spec));
      await controller.start(never).finally(() => controller.remove(never));
    };
    await tryOut({ Command: "sleep", Args: ["0"] });
    await tryOut({ Command: "sleep", Args: ["0"], User: "0" });
    await assert.rejects(tryOut({ Command: "true" }), /ProcessSpec.Command: not allowed by/);
    await assert.rejects(tryOut({ Command: `${world.stateDir}/apps/../shim.sh` }), /ProcessSpec.Command: no/);
    await assert.rejects(
      tryOut({ Command: "sleep", Env: ["LD_PRELOAD=/x.so"] }),
      /ProcessSpec.Env\[0\]: LD_PRELOAD is refused/,
    );
    await executor.close();
  }));

Deno.test({
  name: "Process: another user's program runs as that user, in a folder of its own",
  ignore: Deno.uid() !== 0, // only root can become another user
  fn: () =>
    inWorld(async (world) => {
      const { log } = await ran(world, {
        Command: "sh",
        Args: ["-c", "id -un; id -G; touch mine && echo wrote"],
        User: "nobody",
      });
      assert.match(log, /^nobody\n\d+\nwrote\n$/);
      const secret = `${world.stateDir}/secret`;
      await Deno.writeTextFile(secret, "#!/bin/sh\n", { mode: 0o700 });
      await assert.rejects(
        started(world, processTask({ Command: secret, User: "nobody" })),
        /ProcessSpec.Command: not executable/,
      );
    }),
});

Deno.test("Process: a log stays bounded, and the newest of it is kept", () =>
  inWorld(async (world) => {
    const script =
      "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i + 1)); done; echo full; exec sleep 1000";
    const task = processTask({ Command: "sh", Args: ["-c", script] });
    const { executor, controller } = await started(world, task);
    const log = `${world.stateDir}/logs/${task.ID}.log`;
    const watcher = Deno.watchFs(`${world.stateDir}/logs`);
    const rotated = () => Deno.stat(`${log}.1`).then((info) => info.size > 0, () => false);
    if (!await rotated()) { for await (const _ of watcher) if (await rotated()) break; }
    assert.ok((await Deno.stat(log)).size <= 40_000);
    assert.ok((await Deno.stat(`${log}.1`)).size <= 10_000);
    await stop(controller);
    await executor.close();
  }, { maxLogBytes: 10_000 }));

async function stop(controller: Controller): Promise<void> {
  await controller.terminate(never);
  await controller.remove(never);
}
