/** `covey exec` */
import type { Command } from "commander";
import { CoveyError } from "../../api/errors.ts";
import type { ExecUse } from "../../api/streams.ts";
import type { Console } from "../console.ts";
import { type Context, requireConsole, withClient } from "../context.ts";
import { runningTask, TaskStream } from "../task_stream.ts";

/** Ctrl-C so often leaves a command that does not end by it. */
const MAX_INTERRUPTS = 3;
/** Ctrl-P Ctrl-Q, by which docker leaves a terminal. */
const LEAVE_KEYS = [0x10, 0x11] as const;

interface ExecFlags {
  interactive?: boolean;
  tty?: boolean;
  detach?: boolean;
}

/** Adds the command. */
export function execCommand(program: Command, context: Context): void {
  program.command("exec").description("Run a command inside of a running task")
    .argument("<task>", "a task, or SERVICE, or SERVICE@NODE")
    .argument("<command...>")
    .option("-i, --interactive", "hand on what is typed or piped in")
    .option("-t, --tty", "with a terminal")
    .option("-d, --detach", "let it go on by itself, without input and output")
    .passThroughOptions()
    .action((reference: string, words: string[], flags: ExecFlags, command) =>
      withClient(context, command, async (client) => {
        const console = requireConsole(context), { ID } = await runningTask(client, reference);
        const stream = await TaskStream.open(client, ID, useOf(words, flags, console));
        try {
          context.exitCode = await run(stream, flags, console);
        } finally {
          stream.close();
        }
      })
    );
}

function useOf(Command: string[], { interactive, tty, detach }: ExecFlags, console: Console): ExecUse {
  if (detach) {
    if (!interactive && !tty) return { Kind: "exec", Command, Detach: true };
    throw new CoveyError("invalid_argument", "Cannot use --detach with --interactive or --tty");
  }
  if (!tty) return { Kind: "exec", Command };
  if (!console.isTerminal()) {
    throw new CoveyError("invalid_argument", "Cannot use --tty: input and output are not a terminal");
  }
  return { Kind: "exec", Command, Terminal: console.size() };
}

/** Resolves with the command's exit code. */
async function run(stream: TaskStream, flags: ExecFlags, console: Console): Promise<number> {
  if (flags.detach) return 0;
  const left = Promise.withResolvers<undefined>();
  const stops = [
    flags.tty ? terminal(stream, console) : interrupts(stream, console, () => left.resolve(undefined)),
  ];
  try {
    void (flags.interactive ? typed(stream, flags, console, () => left.resolve(undefined)) : stream.end())
      .catch(() => {});
    while (true) {
      const frame = await Promise.race([stream.next(), left.promise.then(() => "left" as const)]);
      if (frame === "left") return 130;
      if (frame === undefined) break;
      if (frame.kind === "control") {
        if ("Exit" in frame.control) return frame.control.Exit.Code;
      } else await console.print(frame.kind === "errors" ? "stderr" : "stdout", frame.data);
    }
  } finally {
    for (const stop of stops) stop();
  }
  throw new CoveyError("data_loss", "Cannot tell how the command ended: the stream broke off");
}

/** Hands on what is typed, until it ends or somebody leaves. */
async function typed(
  stream: TaskStream,
  { tty }: ExecFlags,
  console: Console,
  leave: () => void,
): Promise<void> {
  let matched = 0;
  for await (const bytes of console.input()) {
    if (tty) {
      for (const byte of bytes) {
        matched = byte === LEAVE_KEYS[matched] ? matched + 1 : byte === LEAVE_KEYS[0] ? 1 : 0;
        if (matched === LEAVE_KEYS.length) return leave();
      }
    }
    await stream.send(bytes);
  }
  await stream.end();
}

/** Each key is the task's, and so is the size of the terminal. */
function terminal(stream: TaskStream, console: Console): () => void {
  console.setRaw(true);
  const stop = console.onResize(() => void stream.say({ Resize: console.size() }).catch(() => {}));
  return () => {
    stop();
    console.setRaw(false);
  };
}

/** Ctrl-C is the command's. */
function interrupts(stream: TaskStream, console: Console, leave: () => void): () => void {
  let count = 0;
  return console.onInterrupt(() => {
    if (++count >= MAX_INTERRUPTS) return leave();
    void stream.say({ Signal: "INT" }).catch(() => {});
  });
}
