/** `covey cp`: files between here and the inside of a task, as a tar archive over a stream. */
import type { Command } from "commander";
import { basename, dirname, join, resolve } from "node:path";
import { showableLines } from "../../api/characters.ts";
import { CoveyError } from "../../api/errors.ts";
import { MAX_COPY_PATH } from "../../api/streams.ts";
import { packed, unpacked } from "../archive.ts";
import type { ControlClient } from "../client.ts";
import { type Context, withClient } from "../context.ts";
import { runningTask, TaskStream } from "../task_stream.ts";
import { formatBytes } from "../units.ts";

/** Between two lines that say how far it is. */
const PROGRESS_MS = 250;
/** Bytes of what tar says of its failures that are shown. */
const MAX_ERRORS = 4096;

/** Where something is: in a task, or here. */
type Place = { task: string; path: string } | { path: string };

/** Adds the command. */
export function cpCommand(program: Command, context: Context): void {
  program.command("cp").description("Copy files between here and the inside of a running task")
    .argument("<source>", "TASK:PATH, or a path here")
    .argument("<target>", "a path here, or TASK:PATH; one that ends in / is a folder to put it into")
    .action((source: string, target: string, _flags, command) =>
      withClient(context, command, async (client) => {
        const from = placeOf(source), to = placeOf(target);
        if ("task" in from && !("task" in to)) return await copyFrom(context, client, from, to.path);
        if ("task" in to && !("task" in from)) return await copyTo(context, client, from.path, to);
        throw new CoveyError("invalid_argument", "Cannot copy: one of both has to be in a task, TASK:PATH");
      })
    );
}

/** As docker reads it: what has a colon is in a task, unless it begins as a path. */
function placeOf(text: string): Place {
  const colon = text.indexOf(":");
  if (colon <= 0 || text.startsWith("/") || text.startsWith(".")) return { path: text };
  const path = text.slice(colon + 1);
  if (path !== "" && path.length <= MAX_COPY_PATH) return { task: text.slice(0, colon), path };
  throw new CoveyError("invalid_argument", `Cannot copy: want TASK:PATH, current value is "${text}"`);
}

async function copyFrom(
  context: Context,
  client: ControlClient,
  { task, path }: { task: string; path: string },
  target: string,
): Promise<void> {
  const place = await placeHere(target, basename(path));
  const { ID } = await runningTask(client, task);
  const stream = await TaskStream.open(client, ID, { Kind: "copy", Path: path });
  const progress = new Progress(context, `${task}:${path}`);
  try {
    // A tar that has ended by now says why.
    void stream.end().catch(() => {});
    const name = await unpacked(outputOf(stream, progress), place);
    progress.end(`${task}:${path} is at ${name}`);
  } finally {
    stream.close();
    progress.clear();
  }
}

/** Where a copy called `name` shall be: in a folder that is there, or where nothing is yet. */
async function placeHere(target: string, name: string): Promise<string> {
  const path = resolve(target), found = await Deno.stat(path).catch(() => undefined);
  if (found?.isDirectory || target.endsWith("/")) {
    if (!found?.isDirectory) throw new CoveyError("not_found", `Cannot copy: there is no folder ${path}`);
    return join(path, name === "" || name === "." || name === ".." ? "copy" : name);
  }
  return path;
}

async function copyTo(
  context: Context,
  client: ControlClient,
  source: string,
  { task, path }: { task: string; path: string },
): Promise<void> {
  const from = resolve(source);
  const isFolder = path.endsWith("/") || /(^|\/)\.\.?$/.test(path);
  const [Path, name] = isFolder ? [path, basename(from)] : [dirname(path), basename(path)];
  await Deno.lstat(from).catch((cause) => {
    throw new CoveyError("not_found", `Cannot copy: there is nothing at ${from}`, { cause });
  });
  const { ID } = await runningTask(client, task);
  const stream = await TaskStream.open(client, ID, { Kind: "copy", Path, Write: true });
  const progress = new Progress(context, from);
  try {
    const sending = (async () => {
      for await (const piece of packed(from, name)) {
        await stream.send(piece);
        progress.add(piece.length);
      }
      await stream.end();
    })();
    sending.catch(() => {});
    // Where the task takes no more, it says why.
    await ended(stream);
    await sending;
    progress.end(`${from} is at ${task}:${join(Path, name)}`);
  } finally {
    stream.close();
    progress.clear();
  }
}

/** The archive as it comes. Rejects with what tar says if it fails. */
async function* outputOf(stream: TaskStream, progress: Progress): AsyncGenerator<Uint8Array, void> {
  const errors = new Errors();
  for (let frame = await stream.next(); frame !== undefined; frame = await stream.next()) {
    if (frame.kind === "control") return errors.check(frame.control);
    if (frame.kind === "errors") errors.add(frame.data);
    else {
      progress.add(frame.data.length);
      yield frame.data;
    }
  }
  throw new CoveyError("data_loss", "Cannot copy: the stream broke off");
}

async function ended(stream: TaskStream): Promise<void> {
  for await (const _ of outputOf(stream, new Progress(undefined, ""))) { /* tar says nothing */ }
}

/** What tar says of its failures. */
class Errors {
  #text = "";

  add(bytes: Uint8Array): void {
    if (this.#text.length < MAX_ERRORS) this.#text += new TextDecoder().decode(bytes.subarray(0, MAX_ERRORS));
  }

  /** Throws unless it has ended well. */
  check(said: object): void {
    if (!("Exit" in said)) return;
    const { Code } = said.Exit as { Code: number };
    if (Code === 0) return;
    const why = showableLines(this.#text.trim()) || `tar ended with ${Code}`;
    throw new CoveyError("unknown", `Cannot copy: ${why}`);
  }
}

/** One line that says how much has come, where somebody looks at it. */
class Progress {
  readonly #context: Context | undefined;
  readonly #what: string;
  #bytes = 0;
  #shownMs = 0;

  constructor(context: Context | undefined, what: string) {
    this.#context = context;
    this.#what = what;
  }

  add(bytes: number): void {
    this.#bytes += bytes;
    const output = this.#context?.output;
    if (!output?.interactive || output.nowMs() - this.#shownMs < PROGRESS_MS) return;
    this.#shownMs = output.nowMs();
    output.note(`\r\x1b[K${showableLines(this.#what)}: ${formatBytes(this.#bytes)}`);
  }

  end(text: string): void {
    this.clear();
    this.#context?.output.note(`${showableLines(text)} (${formatBytes(this.#bytes)})\n`);
  }

  clear(): void {
    if (this.#shownMs > 0) this.#context?.output.note("\r\x1b[K");
    this.#shownMs = 0;
  }
}
