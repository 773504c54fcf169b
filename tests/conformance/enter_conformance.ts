/** What every executor must do that lets somebody get at the inside of its tasks. */
import assert from "node:assert/strict";
import type { FromTask, InputFrame, OutputFrame } from "../../api/stream_frames.ts";
import type { StreamUse } from "../../api/streams.ts";
import { can, type Controller, type Executor } from "../../executors/executor.ts";
import { eventually } from "../support/programs.ts";
import type { Fixture } from "./executor_conformance.ts";

const never = new AbortController().signal;
const encoder = new TextEncoder(), decoder = new TextDecoder();
const END = new Uint8Array();

async function* given(...pieces: (string | Uint8Array)[]): AsyncGenerator<InputFrame> {
  for (const piece of pieces) {
    const data = typeof piece === "string" ? encoder.encode(piece) : piece;
    yield await Promise.resolve({ kind: "input", data } as const);
  }
}

/** Input that comes and never ends. */
async function* held(text: string): AsyncGenerator<InputFrame> {
  yield* given(text);
  await new Promise(() => {});
}

/** What came of it. */
interface Came {
  output: Uint8Array;
  errors: string;
  said: FromTask[];
}

async function all(frames: AsyncIterable<OutputFrame>): Promise<Came> {
  const pieces: Uint8Array<ArrayBuffer>[] = [], said: FromTask[] = [];
  let errors = "";
  for await (const frame of frames) {
    if (frame.kind === "control") said.push(frame.control);
    else if (frame.kind === "errors") errors += decoder.decode(frame.data);
    else pieces.push(frame.data.slice());
  }
  return { output: new Uint8Array(await new Blob(pieces).arrayBuffer()), errors, said };
}

type Enter = (
  use: StreamUse,
  input?: AsyncIterable<InputFrame>,
  signal?: AbortSignal,
) => AsyncIterable<OutputFrame>;
type Register = (behaviour: string, run: (fixture: Fixture, executor: Executor) => Promise<void>) => void;

/** Registers the suite for one executor. */
export function enters(test: Register): void {
  const inside = (behaviour: string, run: (enter: Enter, controller: Controller) => Promise<void>) =>
    test(behaviour, async (fixture, executor) => {
      if (!can(executor, "enter")) return;
      const task = fixture.task("forever")!, controller = await executor.controller(task);
      await controller.prepare(never);
      await controller.start(never);
      const handle = controller.handle()!;
      try {
        await run(
          (use, input = given(END), signal = never) => executor.enter({ task, handle }, use, input, signal),
          controller,
        );
      } finally {
        await controller.remove(never);
        await controller.close();
      }
    });
  const exec = (...Command: string[]): StreamUse => ({ Kind: "exec", Command });

  inside("enter runs a command with its input, its two outputs and its exit code", async (enter) => {
    const script = 'cat; echo "$1|$2|" >&2; exit 7';
    const ran = await all(enter(exec("sh", "-c", script, "sh", "", "a b"), given("in", "put", END)));
    assert.equal(decoder.decode(ran.output), "input");
    assert.equal(ran.errors, "|a b|\n");
    assert.deepEqual(ran.said, [{ Started: true }, { Exit: { Code: 7 } }]);
    const large = "0123456789abcdef".repeat(32 * 1024);
    const much = await all(enter(exec("cat"), given(large, large, large, END)));
    assert.equal(decoder.decode(much.output), large.repeat(3));
  });

  inside("enter gives a terminal of the size that is asked for", async (enter) => {
    const use: StreamUse = { Kind: "exec", Command: ["sh"], Terminal: { Height: 24, Width: 80 } };
    const ran = await all(enter(use, held("sleep 0.5; stty size; exit 3\n")));
    assert.match(decoder.decode(ran.output), /24 80\r\n/);
    assert.deepEqual(ran.said.at(-1), { Exit: { Code: 3 } });
  });

  inside(
    "enter ends what it has started when it is left, or told to, and the task goes on",
    async (enter, controller) => {
      const left = new AbortController();
      const frames = enter(exec("sh", "-c", "echo here; exec sleep 12345"), held("x"), left.signal)
        [Symbol.asyncIterator]();
      await frames.next();
      assert.equal(decoder.decode(((await frames.next()).value as { data: Uint8Array }).data), "here\n");
      left.abort(new Error("left"));
      await assert.rejects(Promise.resolve(frames.next()), /left/);
      const interrupted = await all(
        enter(
          exec("sleep", "12345"),
          (async function* (): AsyncGenerator<InputFrame> {
            await new Promise((resolve) => setTimeout(resolve, 300));
            yield { kind: "control", control: { Signal: "TERM" } };
          })(),
        ),
      );
      assert.ok("Exit" in interrupted.said.at(-1)!);
      // Ends of programs are seen a moment later.
      await eventually("no command is left", async () => {
        const { output } = await all(
          enter(exec("sh", "-c", "ps -o args 2>/dev/null | grep -c '[s]leep 12345'; true")),
        );
        return Number(decoder.decode(output).trim()) === 0;
      });
      const ended = controller.wait(AbortSignal.timeout(50)).then(() => "ended", () => "runs");
      assert.equal(await ended, "runs");
    },
  );

  inside("enter copies files out and in as archives, and names what is not there", async (enter) => {
    await all(
      enter(exec("sh", "-c", "mkdir -p /tmp/from/deep /tmp/to && echo content >/tmp/from/deep/file")),
    );
    const archive = await all(enter({ Kind: "copy", Path: "/tmp/from" }));
    assert.deepEqual(archive.said.at(-1), { Exit: { Code: 0 } });
    const put = await all(enter({ Kind: "copy", Path: "/tmp/to", Write: true }, given(archive.output, END)));
    assert.deepEqual(put.said.at(-1), { Exit: { Code: 0 } }, put.errors);
    const read = await all(enter(exec("cat", "/tmp/to/from/deep/file")));
    assert.equal(decoder.decode(read.output), "content\n", read.errors);
    await all(enter(exec("rm", "-r", "/tmp/from", "/tmp/to")));
    const missing = await all(enter({ Kind: "copy", Path: "/nothing/there" })).then(
      ({ errors, said }) => "Exit" in said.at(-1)! && said.at(-1) !== undefined ? errors : "",
      (error) => error.message,
    );
    assert.match(missing, /nothing/);
  });
}
