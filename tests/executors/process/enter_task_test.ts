import assert from "node:assert/strict";
import type { ProcessSpec } from "../../../api/service.ts";
import type { FromTask, InputFrame, OutputFrame } from "../../../api/stream_frames.ts";
import type { StreamUse } from "../../../api/streams.ts";
import type { Task } from "../../../api/task.ts";
import type { Controller, Executor, TaskEnterer } from "../../../executors/executor.ts";
import { eventually } from "../../support/programs.ts";
import { processFixture, processTask } from "../../conformance/process_fixture.ts";

const never = new AbortController().signal;
const encoder = new TextEncoder(), decoder = new TextDecoder();

interface Inside {
  task: Task;
  executor: Executor & TaskEnterer;
  controller: Controller;
  stateDir: string;
  enter(use: StreamUse, input?: AsyncIterable<InputFrame>, signal?: AbortSignal): AsyncIterable<OutputFrame>;
  /** Runs a command to its end. */
  run(...command: string[]): Promise<Ran>;
}

interface Ran {
  output: string;
  errors: string;
  said: FromTask[];
}

async function inTask(spec: ProcessSpec, test: (inside: Inside) => Promise<void>): Promise<void> {
  const world = await processFixture(), executor = await world.executor() as Executor & TaskEnterer;
  const task = processTask(spec), controller = await executor.controller(task);
  try {
    await controller.prepare(never);
    await controller.start(never);
    const enter: Inside["enter"] = (use, input = nothing(), signal = never) =>
      executor.enter({ task, handle: controller.handle()! }, use, input, signal);
    const run = (...Command: string[]) => collected(enter({ Kind: "exec", Command }));
    await test({ task, executor, controller, stateDir: world.stateDir, enter, run });
  } finally {
    await controller.remove(never);
    await controller.close();
    await executor.close();
    await world.close();
  }
}

/** Looks at a process that has been told to end; each takes some milliseconds. */
const MAX_LOOKS = 500;

/** Resolves when the process has ended: one that was signalled is seen for a moment longer. */
async function isGone(pid: string): Promise<void> {
  for (let looks = 0; looks < MAX_LOOKS; looks++) {
    // A dead one that nobody has asked for yet has no files.
    if (!await Deno.stat(`/proc/${pid}/fd/0`).then(() => true, () => false)) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail(`process ${pid} goes on`);
}

async function* nothing(): AsyncGenerator<InputFrame> {
  yield await Promise.resolve({ kind: "input", data: new Uint8Array() } as const);
}

async function* typed(...texts: string[]): AsyncGenerator<InputFrame> {
  for (const text of texts) {
    yield await Promise.resolve({ kind: "input", data: encoder.encode(text) } as const);
  }
}

async function collected(frames: AsyncIterable<OutputFrame>): Promise<Ran> {
  const ran: Ran = { output: "", errors: "", said: [] };
  for await (const frame of frames) {
    if (frame.kind === "control") ran.said.push(frame.control);
    else ran[frame.kind] += decoder.decode(frame.data);
  }
  return ran;
}

const SLEEPS: ProcessSpec = { Command: "sleep", Args: ["100000"] };

Deno.test("Enter: a command has the task's folder, variables, user and control group, and says how it ended", async () => {
  const spec = { ...SLEEPS, Env: ["GREETING=hello world", "EMPTY="] };
  await inTask(spec, async ({ run, task, controller, stateDir }) => {
    const { PID } = (await controller.status())!;
    const ran = await run(
      "sh",
      "-c",
      'pwd; echo "$GREETING|$#|$2|"; env | sort; cat /proc/self/cgroup; echo oops >&2; exit 7',
      "sh",
      "a",
      "",
      "c d",
    );
    assert.deepEqual(ran.said, [{ Started: true }, { Exit: { Code: 7 } }]);
    assert.equal(ran.errors, "oops\n");
    const [folder, greeting, ...rest] = ran.output.split("\n");
    assert.equal(folder, `${stateDir}/tasks/${task.ID}`);
    assert.equal(greeting, "hello world|3||");
    const own = await Deno.readTextFile(`/proc/${PID}/cgroup`);
    assert.ok(ran.output.includes(own), `${ran.output} has not ${own}`);
    assert.deepEqual(
      rest.filter((line) => /^(?!PWD|OLDPWD|_=|SHLVL)\w+=/.test(line)).map((line) => line.split("=")[0]),
      ["EMPTY", "GREETING", "PATH"],
    );
    const owner = async (path: string) => (await Deno.stat(path)).uid;
    const asked = await run("id", "-u");
    assert.equal(Number(asked.output), await owner(`/proc/${PID}`));
  });
});

Deno.test("Enter: input goes in as it comes, its end too, and much of both arrives whole", async () => {
  await inTask(SLEEPS, async ({ enter }) => {
    const line = "0123456789abcdef".repeat(4096), lines = Array<string>(64).fill(line);
    const ran = await collected(enter({ Kind: "exec", Command: ["cat"] }, typed(...lines, "")));
    assert.equal(ran.output.length, lines.join("").length);
    assert.equal(ran.output, lines.join(""));
    assert.deepEqual(ran.said.at(-1), { Exit: { Code: 0 } });
  });
});

Deno.test("Enter: what is printed waits until it is taken", async () => {
  await inTask(SLEEPS, async ({ enter }) => {
    const frames = enter({ Kind: "exec", Command: ["sh", "-c", "echo $$; exec yes"] })
      [Symbol.asyncIterator]();
    await frames.next();
    const first = (await frames.next()).value as OutputFrame & { data: Uint8Array };
    const pid = decoder.decode(first.data).split("\n")[0];
    const state = async () => (await Deno.readTextFile(`/proc/${pid}/stat`)).split(") ")[1]![0];
    const written = async () => /wchar: (\d+)/.exec(await Deno.readTextFile(`/proc/${pid}/io`))![1];
    // Asleep, as the pipe is full, and not only until somebody has read what is on its way.
    await eventually("the command waits", async () => {
      const before = await written();
      await new Promise((resolve) => setTimeout(resolve, 100));
      return await state() === "S" && await written() === before;
    });
    await frames.return!();
    await isGone(pid!);
  });
});

Deno.test("Enter: leaving ends the command and what it has started, and nothing else of the task", async () => {
  await inTask(SLEEPS, async ({ enter, controller }) => {
    for (
      const shell of ["sleep 1000 & echo $!; wait", "trap '' HUP; (trap '' HUP; sleep 1000) & echo $!; wait"]
    ) {
      const left = new AbortController();
      const frames = enter({ Kind: "exec", Command: ["sh", "-c", shell] }, hanging(), left.signal)
        [Symbol.asyncIterator]();
      await frames.next();
      const { data } = (await frames.next()).value as { data: Uint8Array };
      const pid = decoder.decode(data).trim();
      left.abort(new Error("left"));
      await assert.rejects(async () => {
        while (!(await frames.next()).done) { /* what was printed before */ }
      }, /left/);
      await isGone(pid!);
    }
    await Deno.stat(`/proc/${(await controller.status())!.PID}`);
  });
});

async function* hanging(): AsyncGenerator<InputFrame> {
  yield { kind: "input", data: encoder.encode("x") };
  await new Promise(() => {});
}

Deno.test("Enter: signals reach all that the command has started", async () => {
  await inTask(SLEEPS, async ({ enter }) => {
    const ready = Promise.withResolvers<void>();
    const input = (async function* (): AsyncGenerator<InputFrame> {
      await ready.promise;
      yield { kind: "control", control: { Signal: "INT" } };
    })();
    const shell = "trap 'echo caught; exit 3' INT; echo ready; while :; do sleep 0.05; done";
    const said: unknown[] = [];
    let output = "";
    for await (const frame of enter({ Kind: "exec", Command: ["sh", "-c", shell] }, input)) {
      if (frame.kind === "control") said.push(frame.control);
      else output += decoder.decode(frame.data);
      if (output.includes("ready")) ready.resolve();
    }
    assert.equal(output, "ready\ncaught\n");
    assert.deepEqual(said.at(-1), { Exit: { Code: 3 } });
  });
});

Deno.test("Enter: a terminal has a size, gets another one, and hands on Ctrl-C", async () => {
  await inTask(SLEEPS, async ({ enter }) => {
    const steps = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const input = (async function* (): AsyncGenerator<InputFrame> {
      yield {
        kind: "input",
        data: encoder.encode(
          "stty size; trap 'echo resized' WINCH; echo GO; sleep 100; stty size; echo STEP; sleep 100\n",
        ),
      };
      await steps[0]!.promise;
      yield { kind: "control", control: { Resize: { Height: 50, Width: 132 } } };
      yield { kind: "input", data: encoder.encode("\x03") };
      yield { kind: "input", data: encoder.encode("stty size; exit 5\n") };
    })();
    let output = "";
    const said: unknown[] = [];
    const use: StreamUse = { Kind: "exec", Command: ["sh"], Terminal: { Height: 24, Width: 80 } };
    for await (const frame of enter(use, input)) {
      if (frame.kind === "control") said.push(frame.control);
      else output += decoder.decode(frame.data);
      if (/^GO\r/m.test(output)) steps[0]!.resolve();
    }
    assert.match(output, /24 80\r$/m);
    assert.match(output, /50 132\r$/m);
    assert.deepEqual(said.at(-1), { Exit: { Code: 5 } });
  });
});

Deno.test("Enter: files come out as an archive and go in as one", async () => {
  await inTask(SLEEPS, async ({ enter, run }) => {
    await run("sh", "-c", "mkdir -p 'a folder' && echo content >'a folder/file'");
    const pieces: Uint8Array[] = [];
    for await (const frame of enter({ Kind: "copy", Path: "a folder/" })) {
      if (frame.kind === "output") pieces.push(frame.data);
    }
    const archive = new Uint8Array(await new Blob(pieces as Uint8Array<ArrayBuffer>[]).arrayBuffer());
    await run("mkdir", "b");
    const input = (async function* (): AsyncGenerator<InputFrame> {
      yield { kind: "input", data: archive };
      yield { kind: "input", data: new Uint8Array() };
    })();
    const put = await collected(enter({ Kind: "copy", Path: "b", Write: true }, input));
    assert.deepEqual(put.said.at(-1), { Exit: { Code: 0 } }, put.errors);
    assert.equal((await run("cat", "b/a folder/file")).output, "content\n");
    const none = await collected(enter({ Kind: "copy", Path: "nothing/there" }));
    assert.match(none.errors, /nothing/);
    assert.notDeepEqual(none.said.at(-1), { Exit: { Code: 0 } });
  });
});

Deno.test("Enter: a command on its own goes on when the client has left, and ends with the task", async () => {
  await inTask(SLEEPS, async ({ enter, run, controller }) => {
    const use: StreamUse = { Kind: "exec", Command: ["sh", "-c", "echo $$ >mine; sleep 1000"], Detach: true };
    assert.deepEqual((await collected(enter(use))).said, [{ Started: true }]);
    let pid = "";
    while (pid === "") pid = (await run("sh", "-c", "cat mine 2>/dev/null")).output.trim();
    await Deno.stat(`/proc/${pid}/fd/0`);
    await controller.remove(never);
    await isGone(pid!);
  });
});

Deno.test("Enter: what cannot run is refused with the reason, and so is a task that has ended", async () => {
  await inTask({ Command: "true" }, async ({ run, controller }) => {
    await controller.wait(never);
    await assert.rejects(run("true"), { code: "permission_denied", message: /does not run/ });
  });
  await inTask(SLEEPS, async ({ run }) => {
    await assert.rejects(run("no-such-program"), { message: /no such program: no-such-program/ });
  });
});
