/** `covey exec`, `cp` and `port-forward` into tasks of real agents, through a follower too. */
import assert from "node:assert/strict";
import { dirname } from "node:path";
import type { ServiceSpec } from "../../api/service.ts";
import type { Fleet } from "../../cli/demo/fleet.ts";
import { replicatedContainers, runService, waitNode, withFleet } from "../support/e2e.ts";
import { NO_ENGINE, TEST_ENGINE } from "../support/test_engine.ts";
import { type Answer, eventually, freePort, inFolder, Program, run } from "../support/programs.ts";

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

// deno-lint-ignore no-control-regex -- a terminal's
const ASKS_AND_CLEARS = /\x1b\[(?:6n|J)/g;

/** As in front of a terminal, which `script` makes: its size gets there, and Ctrl-C ends what runs there. */
async function types(fleet: Fleet, task: string): Promise<void> {
  const words = coveyCommand(fleet, "exec", "-it", task, "sh").map((word) => `'${word}'`).join(" ");
  const shell = new Deno.Command("script", {
    args: [
      "--quiet",
      "--return",
      "--flush",
      "--command",
      `stty rows 33 cols 101; exec ${words}`,
      "/dev/null",
    ],
    stdin: "piped",
    stdout: "piped",
    env: { NO_COLOR: "1" },
  }).spawn();
  let shown = "";
  const showing = shell.stdout.pipeThrough(new TextDecoderStream()).pipeTo(
    // Busybox asks the terminal where it stands and goes on without an answer, and clears the rest when the size comes.
    new WritableStream({ write: (text) => void (shown = (shown + text).replaceAll(ASKS_AND_CLEARS, "")) }),
  );
  const keys = shell.stdin.getWriter();
  const type = (text: string) => keys.write(new TextEncoder().encode(text));
  const shows = (pattern: RegExp) =>
    eventually(`the terminal shows ${pattern}`, () => Promise.resolve(pattern.test(shown)), () => shown);
  await shows(/[#$] $/);
  await type("stty size; tty; echo sum $((40 + 2))\r");
  await shows(/\n33 101\s+\/dev\/pts\/\d+\s+sum 42\s/);
  await type("echo be''gun; sleep 1000\r");
  await shows(/\nbegun/);
  await type("\x03");
  await shows(/\^C\s+[^\n]*[#$] $/);
  await type("exit 5\r");
  assert.equal((await shell.status).code, 5, shown);
  await keys.close().catch(() => {});
  await showing;
}

/** Docker's clients tell the size only after the start. */
const UNTIL_SIZED =
  'for i in $(seq 100); do [ "$(stty size 2>&1)" != "33 101" ] || exit 6; sleep 0.1; done; stty size';

/** The stock clients that there are, old and new, each with a terminal in a container that they reach through a manager. */
async function stockTerminals(fleet: Fleet, container: string): Promise<void> {
  for (const client of ["/usr/bin/docker", "/usr/local/bin/docker"]) {
    if (await Deno.stat(client).then(() => false, () => true)) continue;
    const exec = `exec ${client} -H unix://${fleet.socket} exec -it ${container} sh -c '${UNTIL_SIZED}'`;
    const { code, stdout } = await new Deno.Command("script", {
      args: ["-qefc", `stty rows 33 cols 101; ${exec}`, "/dev/null"],
      stdin: "null",
    }).output();
    assert.equal(code, 6, `${client}: ${new TextDecoder().decode(stdout)}`);
  }
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

/** A program of a task answers once the client has said all, so the half-close gets there. */
async function forwards(fleet: Fleet): Promise<void> {
  const port = freePort();
  const script = `
    for await (const one of Deno.listen({ hostname: "127.0.0.1", port: ${port} })) {
      (async () => {
        const buffer = new Uint8Array(65536);
        let bytes = 0;
        for (let count = await one.read(buffer); count !== null; count = await one.read(buffer)) bytes += count;
        await one.write(new TextEncoder().encode("heard " + bytes));
        one.close();
      })();
    }`;
  const spec: ServiceSpec = {
    Name: "listens",
    Labels: {},
    TaskTemplate: {
      Runtime: "deno",
      ForceUpdate: 0,
      DenoSpec: { Source: script, Permissions: { Net: [`127.0.0.1:${port}`] }, StopGracePeriod: 1e8 },
    },
    Mode: { Replicated: { Replicas: 1 } },
  };
  await runService(fleet, spec, 1);
  await eventually("the task listens", async () => {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port }).catch(() => undefined);
    connection?.close();
    return connection !== undefined;
  }, () => "nothing");
  const local = freePort(),
    [deno, ...args] = coveyCommand(fleet, "port-forward", "listens", `${local}:${port}`);
  const program = new Program(deno!, args);
  try {
    await program.says(/leads to port/);
    const sizes = [10, 1_000_000, 0];
    const heard = await Promise.all(sizes.map(async (size) => {
      const connection = await Deno.connect({ hostname: "127.0.0.1", port: local });
      const sent = new Uint8Array(size);
      for (let at = 0; at < size;) at += await connection.write(sent.subarray(at));
      await connection.closeWrite();
      return await new Response(connection.readable).text();
    }));
    assert.deepEqual(heard, sizes.map((size) => `heard ${size}`), program.output);
  } finally {
    await program.end("SIGINT");
  }
  // Whatever else listens on the device is not the task's.
  const other = await run("covey", fleet.socket, "port-forward", "inside", `0:${port}`);
  assert.match(other.stderr, new RegExp(`no program of it listens at port ${port}`));
  assert.equal(other.code, 1);
}

/** What the person in front of the device does, who asks no manager. */
async function withoutManager(fleet: Fleet): Promise<void> {
  const stateDir = `${dirname(fleet.socket)}/edge`;
  const covey = (...args: string[]) => run("covey", fleet.socket, ...args);
  const local = (...args: string[]) => run("covey", "/nowhere", "local", "--state-dir", stateDir, ...args);
  const listed = await local("ps");
  assert.match(listed.stdout, /inside .* process .* running/, listed.stderr);
  assert.equal((await covey("exec", "inside", "touch", "mark")).code, 0);
  assert.equal((await local("restart", "inside")).code, 0);
  // It begins in a folder of its own again.
  let last: Answer | undefined;
  await eventually("the task has run again", async () => {
    last = await covey("exec", "inside", "ls");
    return last.code === 0 && last.stdout === "";
  }, () => `${last?.stdout}${last?.stderr}`);
  assert.equal((await local("logs", "inside")).stdout, "begun\n");
  assert.match((await local("lock", "--for", "10m")).stdout, /^locked until /);
  assert.equal((await local("unlock")).code, 0);
  assert.match((await local("restart", "nobody")).stderr, /no such task/);
}

Deno.test("Exec: commands and files of a process on a device, with exit code, streams and Ctrl-C", () =>
  withFleet({}, async (fleet) => {
    // As the folders above an installed agent's are: tasks of other users get through.
    await Deno.chmod(dirname(fleet.socket), 0o711);
    await fleet.startManager("manager", ["--no-agent"]);
    await fleet.startAgent("edge");
    await waitNode(fleet, "edge", "ready");
    await runService(fleet, processes("inside", "echo begun; exec sleep 100000"), 1);
    await execs(fleet);
    await interrupts(fleet);
    await types(fleet, "inside");
    await copies(fleet);
    await forwards(fleet);
    await withoutManager(fleet);
  }));

Deno.test({
  name: "Exec: commands, files and ports of a container, beside the stock client's own exec on the engine",
  ignore: NO_ENGINE !== "", // the reason is in the constant
  fn: () =>
    withFleet({ docker: TEST_ENGINE }, async (fleet) => {
      await Deno.chmod(dirname(fleet.socket), 0o711);
      await fleet.startManager("manager-1");
      await waitNode(fleet, "manager-1", "ready");
      const spec = replicatedContainers("box", 1);
      spec.TaskTemplate.ContainerSpec!.Command = [
        "sh",
        "-c",
        "while :; do echo heard | nc -l -p 8080 >/dev/null; done",
      ];
      await runService(fleet, spec, 1);
      const covey = (...args: string[]) => run("covey", fleet.socket, ...args);
      const done = await covey("exec", "box", "sh", "-c", "echo out; echo oops >&2; exit 7");
      assert.deepEqual([done.stdout, done.stderr, done.code], ["out\n", "oops\n", 7]);
      const { stdout } = await run("docker", fleet.socket, "ps", "-q", "--filter", "name=box.1");
      const stock = await run(
        "docker",
        fleet.socket,
        "exec",
        stdout.trim(),
        "sh",
        "-c",
        "echo stock; exit 5",
      );
      assert.deepEqual([stock.stdout, stock.code], ["stock\n", 5]);
      await types(fleet, "box");
      await stockTerminals(fleet, stdout.trim());
      await inFolder(async (folder) => {
        await Deno.writeTextFile(`${folder}/file`, "content\n");
        assert.equal((await covey("cp", `${folder}/file`, "box:/tmp/renamed")).code, 0);
        assert.equal((await covey("exec", "box", "cat", "/tmp/renamed")).stdout, "content\n");
        assert.equal((await covey("cp", "box:/tmp/renamed", `${folder}/back`)).code, 0);
        assert.equal(await Deno.readTextFile(`${folder}/back`), "content\n");
      });
      const local = freePort(), [deno, ...args] = coveyCommand(fleet, "port-forward", "box", `${local}:8080`);
      const program = new Program(deno!, args);
      try {
        await program.says(/leads to port/);
        // It takes one connection at a time, and each ends its own.
        await eventually("the port answers", async () => {
          const connection = await Deno.connect({ hostname: "127.0.0.1", port: local });
          await connection.closeWrite();
          return await new Response(connection.readable).text() === "heard\n";
        }, () => program.output);
      } finally {
        await program.end("SIGINT");
      }
    }),
});
