/** `covey exec`, `cp` and `port-forward` into tasks of real agents, through a follower too. */
import assert from "node:assert/strict";
import type { ServiceSpec } from "../../api/service.ts";
import type { Fleet } from "../../cli/demo/fleet.ts";
import { runService, waitNode, withFleet } from "../support/e2e.ts";
import { inFolder, Program, run } from "../support/programs.ts";

function processes(name: string, script: string): ServiceSpec {
  return {
    Name: name,
    Labels: {},
    TaskTemplate: {
      Runtime: "process",
      ForceUpdate: 0,
      ProcessSpec: {
        Command: "/bin/sh",
        Args: ["-c", script],
        Env: ["GREETING=hello"],
        StopGracePeriod: 1e8,
      },
      RestartPolicy: { Condition: "none" },
    },
    Mode: { Replicated: { Replicas: 1 } },
  };
}

async function execs(fleet: Fleet): Promise<void> {
  const covey = (...args: string[]) => run("covey", fleet.socket, ...args);
  const done = await covey("exec", "inside@edge", "sh", "-c", 'echo "$GREETING"; echo oops >&2; exit 7');
  assert.deepEqual([done.stdout, done.stderr, done.code], ["hello\n", "oops\n", 7]);
  const missing = await covey("exec", "inside", "no-such-program");
  assert.match(missing.stderr, /no such program: no-such-program/);
  assert.equal(missing.code, 1);
  assert.match((await covey("exec", "inside@nowhere", "true")).stderr, /has no running task on node nowhere/);
  assert.match((await covey("exec", "nothing", "true")).stderr, /no such task or service: nothing/);
  const typed = new Deno.Command("sh", {
    args: ["-c", 'exec "$@" </etc/services', "sh", ...coveyCommand(fleet, "exec", "-i", "inside", "cat")],
  });
  const { stdout } = await typed.output();
  assert.deepEqual(stdout, await Deno.readFile("/etc/services"));
}

function coveyCommand(fleet: Fleet, ...args: string[]): string[] {
  const flags = [
    "--no-prompt",
    "--quiet",
    "--allow-read",
    "--allow-write",
    "--allow-env",
    "--allow-net",
    "--allow-sys",
  ];
  return [
    Deno.execPath(),
    "run",
    ...flags,
    new URL("../../cli/main.ts", import.meta.url).pathname,
    "-H",
    `unix://${fleet.socket}`,
    ...args,
  ];
}

async function interrupts(fleet: Fleet): Promise<void> {
  const [deno, ...args] = coveyCommand(
    fleet,
    "exec",
    "inside",
    "sh",
    "-c",
    "trap 'echo caught; exit 3' INT; echo ready; while :; do sleep 0.1; done",
  );
  const program = new Program(deno!, args);
  await program.says(/ready/);
  assert.equal(await program.end("SIGINT"), 3);
  assert.match(program.output, /caught/);
}

async function copies(fleet: Fleet): Promise<void> {
  await inFolder(async (folder) => {
    const covey = (...args: string[]) => run("covey", fleet.socket, ...args);
    await Deno.mkdir(`${folder}/tree/deep`, { recursive: true });
    await Deno.writeTextFile(`${folder}/tree/deep/file`, "content\n");
    await Deno.writeFile(`${folder}/tree/large`, new Uint8Array(3_000_000).fill(7));
    const up = await covey("cp", `${folder}/tree`, "inside:other");
    assert.equal(up.code, 0, up.stderr);
    const down = await covey("cp", "inside:other", `${folder}/back`);
    assert.equal(down.code, 0, down.stderr);
    assert.match(down.stderr, /MiB\)/);
    assert.equal(await Deno.readTextFile(`${folder}/back/deep/file`), "content\n");
    assert.deepEqual(await Deno.readFile(`${folder}/back/large`), new Uint8Array(3_000_000).fill(7));
    const none = await covey("cp", "inside:nothing", folder);
    assert.equal(none.code, 1);
    assert.match(none.stderr, /nothing/);
    assert.deepEqual((await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort(), [
      "back",
      "tree",
    ]);
  });
}

Deno.test("Exec: commands and files of a process on a device, with exit code, streams and Ctrl-C", () =>
  withFleet({}, async (fleet) => {
    await fleet.startManager("manager", ["--no-agent"]);
    await fleet.startAgent("edge");
    await waitNode(fleet, "edge", "ready");
    await runService(fleet, processes("inside", "exec sleep 100000"), 1);
    await execs(fleet);
    await interrupts(fleet);
    await copies(fleet);
  }));
