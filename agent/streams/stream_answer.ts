/** One stream into a task: what comes from the client goes into the task, and back; until either end is over. */
import { showable } from "../../api/characters.ts";
import { CoveyError } from "../../api/errors.ts";
import { getLogger } from "../../api/log.ts";
import { fromTask, type OutputFrame, outputFrames, readInput } from "../../api/stream_frames.ts";
import { MAX_STREAM_PIECE_BYTES, type StreamAsk } from "../../api/streams.ts";
import { can } from "../../executors/executor.ts";
import type { Tasks } from "../log_feed.ts";
import type { OpenStream } from "./stream_answers.ts";

/** Characters of a command that are shown in the device's log. */
const MAX_SHOWN_CHARACTERS = 200;

const logger = getLogger(["covey", "streams"]);

/** Serves `ask` until it is over; `abort` ends it. Never rejects for what happens to the task, which the client is told. */
export async function answerStream(
  { ID, TaskID, Use }: StreamAsk,
  tasks: Tasks,
  open: OpenStream,
  abort: AbortController,
): Promise<void> {
  const detail = Use.Kind === "exec" ? Use.Command.join(" ") : Use.Kind === "copy" ? Use.Path : Use.Port;
  logger.info("A manager has {kind} done in task {id}: {detail}", {
    kind: Use.Kind,
    id: showable(TaskID),
    detail: showable(String(detail).slice(0, MAX_SHOWN_CHARACTERS)),
  });
  const ended = new CoveyError("aborted", "Cannot go on: the task has ended");
  const unwatch = tasks.watch(TaskID, () => {
    if (tasks.access(TaskID)?.over !== false) abort.abort(ended);
  });
  let pieces: AsyncIterator<unknown> | undefined;
  const done = Promise.withResolvers<void>();
  const frames = framesOf({ TaskID, Use }, tasks, () => bytesOf(pieces!), abort);
  const toManager: AsyncIterableIterator<Uint8Array> = {
    async next() {
      const next = await frames.next();
      if (next.done) done.resolve();
      return next;
    },
    // The call is over, maybe while nothing comes: what waits is woken.
    async return() {
      abort.abort(new CoveyError("canceled", "Cannot go on: the client has left"));
      await frames.return();
      done.resolve();
      return { value: undefined, done: true };
    },
    [Symbol.asyncIterator]: () => toManager,
  };
  try {
    pieces = open(ID, toManager, abort.signal)[Symbol.asyncIterator]();
    await done.promise;
  } finally {
    unwatch();
  }
}

/** What the client is sent. A failure is the last frame. */
async function* framesOf(
  { TaskID, Use }: Pick<StreamAsk, "TaskID" | "Use">,
  tasks: Tasks,
  fromClient: () => AsyncIterable<Uint8Array>,
  { signal }: AbortController,
): AsyncGenerator<Uint8Array, void> {
  try {
    const access = tasks.access(TaskID);
    if (access === undefined || access.over || access.handle === undefined) {
      throw new CoveyError("failed_precondition", "Cannot enter the task: it does not run on this node");
    }
    const { executor, handle } = access;
    if (executor === undefined || !can(executor, "enter")) {
      const name = executor?.name ?? "the task's runtime";
      throw new CoveyError("unimplemented", `Cannot enter the task: ${name} lets nobody in`);
    }
    const at = { task: await access.task(), handle };
    for await (const frame of executor.enter(at, Use, readInput(fromClient()), signal)) yield* encoded(frame);
  } catch (thrown) {
    const error = CoveyError.from(signal.aborted ? signal.reason : thrown);
    yield fromTask({ Error: error.message });
  }
}

function encoded(frame: OutputFrame): Iterable<Uint8Array> {
  return frame.kind === "control" ? [fromTask(frame.control)] : outputFrames(frame.kind, frame.data);
}

/** What comes of the manager, which passes on what anybody sends. */
async function* bytesOf(items: AsyncIterator<unknown>): AsyncGenerator<Uint8Array, void> {
  for (let next = await items.next(); !next.done; next = await items.next()) {
    const { value } = next;
    if (!(value instanceof Uint8Array) || value.length > MAX_STREAM_PIECE_BYTES) {
      throw new CoveyError("invalid_argument", "Cannot read the stream: a piece of it is none");
    }
    yield value;
  }
}
