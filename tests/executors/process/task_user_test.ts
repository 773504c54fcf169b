/** Tasks that name no user: what they may not see, whatever they try. */
import assert from "node:assert/strict";
import { AgentUnderTest } from "../../agent/support/agent_process.ts";
import { RealManager } from "../../agent/support/real_manager.ts";
import { createProcessExecutor } from "../../../executors/process/process_executor.ts";
import { processFixture, processTask } from "../../conformance/process_fixture.ts";
import { NODE_ID } from "../../conformance/tasks.ts";
import { eventually } from "../../support/programs.ts";
import { copyShim } from "./hostile_agent.ts";

const never = new AbortController().signal;
const isRoot = Deno.uid() === 0;
/** Where the shim's own users begin. */
const FIRST_TASK_ID = 1879048192;

Deno.test({
  name: "Task user: a program reads nothing of its agent's folder but what is its own",
  ignore: !isRoot, // without root there is nobody else to run it as
  fn: async () => {
    const manager = await RealManager.start();
    const agent = new AgentUnderTest(manager);
    agent.start();
    const nodeID = await manager.readyNode();
    const dir = agent.stateDir;
    await manager.assign(nodeID, ["other"], ["/bin/sh", "-c", "echo private >mine; exec sleep 1000"]);
    await manager.until(() => manager.running() === 1);
    const files = [
      "certificates/swarm-node.key",
      "certificates/swarm-node.crt",
      "tasks.kv",
      "managers",
      "process/runs/other",
      "process/logs/other.log",
      "process/logs/spy.log",
      "process/tasks/other/mine",
    ];
    const script = [
      ...files.map((name) => `cat ${dir}/${name} >/dev/null 2>&1 && echo READ ${name}`),
      ...["", "/certificates", "/process", "/process/tasks", "/process/tasks/other", "/program"].map((name) =>
        `ls ${dir}${name} >/dev/null 2>&1 && echo LISTED ${name}`
      ),
      "for pid in /proc/[0-9]*; do cat $pid/environ >/dev/null 2>&1 && [ $(stat -c %u $pid) != $(id -u) ] && echo SAW $pid; done",
      `kill -0 $(pgrep -f 'sleep 1000') 2>/dev/null && echo SIGNALLED`,
      // Its own folder, by path as well.
      `echo x >here && cat ${dir}/process/tasks/spy/here >/dev/null || echo NOT MINE`,
      "echo y >/dev/stdout",
      "echo tried",
    ].join("\n");
    await manager.assign(nodeID, ["spy"], ["/bin/sh", "-c", script]);
    await manager.until(() => manager.store.get("tasks", "spy")?.Status.State === "complete");
    const log = () => Deno.readTextFile(`${dir}/process/logs/spy.log`).catch(() => "");
    await eventually(
      "it has tried",
      async () => /tried/.test(await log()),
      () => Deno.readTextFileSync(`${dir}/process/logs/spy.log`),
    );
    assert.equal(await log(), "y\ntried\n");
    for (const name of files) assert.ok(Deno.statSync(`${dir}/${name}`).isFile, `${name} is there`);
    assert.equal(await agent.leave(), 0);
    await manager.stop();
  },
});

Deno.test({
  name: "Task user: each task has one of its own, without other groups and without more rights to come by",
  ignore: !isRoot, // without root there is nobody else to run it as
  fn: async () => {
    const world = await processFixture();
    const executor = await world.executor();
    const script = "id -u; id -G; grep -E 'NoNewPrivs|CapEff|CapBnd' /proc/self/status; exec sleep 1000";
    const tasks = [1, 2].map(() => processTask({ Command: "sh", Args: ["-c", script] }));
    const users = new Set<string>();
    for (const task of tasks) {
      const controller = await executor.controller(task);
      await controller.start(never);
      const log = () => Deno.readTextFile(`${world.stateDir}/logs/${task.ID}.log`);
      await eventually("it says who it is", async () => /CapBnd/.test(await log()), () => task.ID);
      const [user = "", group, ...rest] = (await log()).split("\n");
      assert.ok(Number(user) > FIRST_TASK_ID, user);
      assert.equal(group, user);
      assert.match(rest.join("\n"), /CapEff:\t0+\n[^]*NoNewPrivs:\t1\n/);
      users.add(user);
    }
    assert.equal(users.size, 2);
    for (const task of tasks) {
      const controller = await executor.recover(task, { version: 1, data: { TaskID: task.ID } });
      await controller.remove(never);
    }
    await executor.close();
    await world.close();
  },
});

Deno.test({
  name: "Task user: the device's own file names who it is, and the node says which it is",
  ignore: !isRoot, // without root there is nobody else to run it as
  fn: async () => {
    for (
      const [file, label, who] of [[undefined, "own", /^1\d{9}$/], ["nobody\n", "named", /^65534$/], [
        "root",
        "named",
        /^0$/,
      ]] as const
    ) {
      const world = await processFixture();
      const shim = await copyShim(
        world.stateDir,
        (text) => text.replace("DEFAULT_USER=/etc/covey/user", `DEFAULT_USER=${world.stateDir}/user`),
      );
      if (file !== undefined) await Deno.writeTextFile(`${world.stateDir}/user`, file);
      const executor = await createProcessExecutor({ stateDir: world.stateDir, nodeID: NODE_ID }, { shim });
      assert.equal((await executor.describe(never)).Engine?.Labels?.["covey.task.user"], label);
      const task = processTask({ Command: "id", Args: ["-u"] });
      const controller = await executor.controller(task);
      await controller.start(never);
      await controller.wait(never);
      assert.match((await Deno.readTextFile(`${world.stateDir}/logs/${task.ID}.log`)).trim(), who);
      await controller.remove(never);
      await executor.close();
      await world.close();
    }
  },
});

Deno.test({
  name: "Task user: a device that cannot keep a task to itself runs none that leaves it open",
  ignore: !isRoot, // without root there is nobody else to run it as
  fn: async () => {
    const world = await processFixture();
    for (
      const change of [
        (text: string) => text.replaceAll("look_for setpriv", "look_for nothing"),
        (text: string) => text.replaceAll("/proc/self/uid_map", `${world.stateDir}/uid_map`),
      ]
    ) {
      await Deno.writeTextFile(`${world.stateDir}/uid_map`, "0 100000 65536\n");
      const shim = await copyShim(
        world.stateDir,
        change,
      );
      const executor = await createProcessExecutor({ stateDir: world.stateDir, nodeID: NODE_ID }, { shim });
      const open = processTask({ Command: "/bin/true" });
      const controller = await executor.controller(open);
      await assert.rejects(controller.start(never), /ProcessSpec.User: (cannot change|this machine has no)/);
      assert.deepEqual(await world.traces(open), []);
      const named = processTask({ Command: "/bin/true", User: "0:0" });
      const allowed = await executor.controller(named);
      await allowed.start(never);
      assert.equal((await allowed.wait(never)).ExitCode, 0);
      await allowed.remove(never);
      await executor.close();
    }
    await world.close();
  },
});
