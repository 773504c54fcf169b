/** An engine that is killed and started anew, with live-restore and without: its containers are found again as they are. */
import assert from "node:assert/strict";
import { createDockerExecutor } from "../../../executors/docker/docker_executor.ts";
import { EngineClient } from "../../../executors/docker/engine_client.ts";
import type { Exit } from "../../../executors/executor.ts";
import { containerTask } from "../../conformance/docker_fixture.ts";
import { NODE_ID } from "../../conformance/tasks.ts";
import { eventually } from "../../support/programs.ts";
import { NO_ENGINE, TEST_ENGINE } from "../../support/test_engine.ts";

const never = new AbortController().signal;

/**
 * An engine of this test's own, as it is to be killed, beside its containerd, as on a device. In a network of its own: one
 * without a bridge takes away the one that other engines of the machine share.
 */
class PrivateEngine {
  readonly folder = Deno.makeTempDirSync({ prefix: "covey-dockerd-" });
  readonly socket = `${this.folder}/docker.sock`;
  readonly client = new EngineClient(this.socket);
  readonly #containerd: Deno.ChildProcess;
  #engine!: Deno.ChildProcess;

  constructor(readonly liveRestore: boolean) {
    Deno.writeTextFileSync(`${this.folder}/containerd.toml`, "version = 2\n");
    this.#containerd = start(
      "containerd",
      ["--config", `${this.folder}/containerd.toml`, "--address", `${this.folder}/containerd.sock`]
        .concat("--root", `${this.folder}/containerd`, "--state", `${this.folder}/containerd-run`),
    );
  }

  async start(): Promise<void> {
    this.#engine = start(
      "unshare",
      ["--net", "dockerd", "--data-root", `${this.folder}/data`, "--exec-root", `${this.folder}/exec`]
        .concat("--pidfile", `${this.folder}/pid`, "-H", `unix://${this.socket}`, "--bridge", "none")
        .concat("--iptables=false", "--ip6tables=false", `--live-restore=${this.liveRestore}`)
        .concat("--containerd", `${this.folder}/containerd.sock`),
    );
    await eventually(
      "the engine answers",
      () => this.client.call("GET", "/info").then(() => true, () => false),
    );
  }

  /** As when somebody kills it, or it runs out of memory. */
  async kill(): Promise<void> {
    this.#engine.kill("SIGKILL");
    await this.#engine.status;
    await Deno.remove(`${this.folder}/pid`);
  }

  async close(): Promise<void> {
    this.client.close();
    for (const child of [this.#engine, this.#containerd]) {
      child.kill("SIGTERM");
      await child.status;
    }
    // A killed engine does not unmount what its containers had.
    const mounts = (await Deno.readTextFile("/proc/mounts")).split("\n").map((line) =>
      line.split(" ")[1] ?? ""
    );
    for (const path of mounts.filter((path) => path.startsWith(this.folder)).reverse()) {
      await new Deno.Command("umount", { args: ["-l", path] }).output();
    }
    await Deno.remove(this.folder, { recursive: true });
  }

  /** The tests' image, from the engine that has it. */
  async loadImage(): Promise<void> {
    const run = async (command: string) => {
      const { success, stderr } = await new Deno.Command("sh", { args: ["-c", command] }).output();
      assert.ok(success, new TextDecoder().decode(stderr));
    };
    await run(
      `docker -H unix://${TEST_ENGINE} save busybox:local | docker -H unix://${this.socket} load`,
    );
  }
}

function start(program: string, args: string[]): Deno.ChildProcess {
  return new Deno.Command(program, { args, stdout: "null", stderr: "null" }).spawn();
}

/** Runs a container, kills the engine and starts it anew; `run` gets what is left. */
async function acrossRestart(
  liveRestore: boolean,
  run: (
    world: { waiting: Promise<Exit>; pidBefore: number; pidAfter: number; kill(): Promise<void> },
  ) => Promise<void>,
): Promise<void> {
  const engine = new PrivateEngine(liveRestore);
  await engine.start();
  await engine.loadImage();
  const newExecutor = () =>
    createDockerExecutor({ stateDir: "/nonexistent", nodeID: NODE_ID }, { socket: engine.socket });
  const executor = newExecutor(), nextAgents = newExecutor();
  try {
    const task = containerTask({ Command: ["sleep", "100000"] });
    task.Spec.Networks = [{ Target: "none", Aliases: [] }];
    const controller = await executor.controller(task);
    await controller.prepare(never);
    await controller.start(never);
    const waiting = controller.wait(never);
    const pidBefore = (await controller.status())!.PID;
    await engine.kill();
    await engine.start();
    const again = await nextAgents.recover(task, controller.handle()!);
    const pidAfter = (await again.status())!.PID;
    const kill = () =>
      engine.client.call("POST", `/containers/${controller.handle()!.data.ContainerID}/kill`);
    await run({ waiting, pidBefore, pidAfter, kill: async () => void await kill() });
    await controller.remove(never);
  } finally {
    await executor.close();
    await nextAgents.close();
    await engine.close();
  }
}

Deno.test({
  name:
    "Docker: an engine with live-restore that is killed leaves its container running, which is waited for on",
  ignore: NO_ENGINE !== "", // the reason is in the constant
  fn: () =>
    acrossRestart(true, async ({ waiting, pidBefore, pidAfter, kill }) => {
      assert.equal(pidAfter, pidBefore);
      await kill();
      assert.equal((await waiting).ExitCode, 137);
    }),
});

Deno.test({
  name: "Docker: an engine without live-restore that is killed ends its container, and its end is found",
  ignore: NO_ENGINE !== "", // the reason is in the constant
  fn: () =>
    acrossRestart(false, async ({ waiting, pidBefore, pidAfter }) => {
      assert.ok(pidBefore > 0);
      assert.equal(pidAfter, 0);
      assert.notEqual((await waiting).ExitCode, 0);
    }),
});
