/**
 * Streams between clients and tasks; works on the leader, where all nodes have their sessions. The bytes are passed on
 * as they are: whoever does not read holds back the other end, by the windows of the calls in between.
 *
 *     asked ---> the node has made its call ---> over: by either end, or with the connection of either
 *       |
 *       '------> refused: the node is away, too old, or takes too long; the client has left
 */
import { getLogger } from "@logtape/logtape";
import { showable } from "../../api/characters.ts";
import type { Clock } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import { newID, type Random } from "../../api/random.ts";
import { fromTask } from "../../api/stream_frames.ts";
import {
  MAX_STREAM_PIECE_BYTES,
  MAX_STREAMS,
  MAX_STREAMS_PER_NODE,
  STREAM_OPEN_MS,
  type StreamUse,
} from "../../api/streams.ts";
import { type Task, taskName } from "../../api/task.ts";
import type { AskTable } from "../dispatcher/mod.ts";
import { StreamMeeting } from "./stream_meeting.ts";

/** Characters of a command that are shown in a log and an event. */
const MAX_SHOWN_CHARACTERS = 200;

const logger = getLogger(["covey", "streams"]);

/** What a broker works with. */
export interface StreamBrokerOptions {
  asks: AskTable;
  clock: Clock;
  random: Random;
}

/** Somebody uses a task. */
export interface StreamUsage {
  task: Task;
  /** Who. */
  by: string;
  /** In words: `exec sh -c ls`. */
  what: string;
}

/** All streams of one manager. */
export class StreamBroker {
  readonly #options: StreamBrokerOptions;
  readonly #perNode = new Map<string, number>();
  readonly #listeners = new Set<(usage: StreamUsage) => void>();
  #size = 0;

  constructor(options: StreamBrokerOptions) {
    this.#options = options;
  }

  /** Calls `listener` whenever somebody opens a stream. Returns how to stop that. */
  listen(listener: (usage: StreamUsage) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /**
   * Opens a stream into `task` and gives what comes from there; first a piece without a byte, once the node is there. What ends
   * `fromClient` ends the stream. Throws `failed_precondition` for a task that does not run, `unavailable` for a node that is
   * away, `unimplemented` for an agent that is too old, `resource_exhausted` where too many are open; what happens later stands
   * in a last frame.
   */
  async *open(
    task: Task,
    use: StreamUse,
    by: string,
    fromClient: AsyncIterable<unknown>,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void> {
    const { NodeID: nodeID = "" } = task;
    checkRuns(task);
    this.#take(nodeID);
    const { asks, clock, random } = this.#options, since = clock.monotonic();
    const meeting = new StreamMeeting(
      { Kind: "stream", ID: newID(random), TaskID: task.ID, Use: use },
      fromClient,
    );
    const usage = { task, by, what: inWords(use) };
    let out = 0;
    try {
      this.#tell(usage);
      const ask = asks.open(nodeID, meeting);
      const fromNode = await meeting.comes({ clock, withinMs: STREAM_OPEN_MS, signal }).finally(() =>
        ask.close()
      );
      yield new Uint8Array();
      for await (const piece of pieces(fromNode)) {
        out += piece.length;
        yield piece;
      }
    } finally {
      meeting.end();
      this.#give(nodeID);
      logger.info("{by} is through with {what} in task {task} after {seconds} s: {in} bytes in, {out} out", {
        ...shown(usage),
        seconds: Math.round((clock.monotonic() - since) / 1000),
        in: meeting.sentBytes,
        out,
      });
    }
  }

  #take(nodeID: string): void {
    const ofNode = this.#perNode.get(nodeID) ?? 0;
    const full = this.#size >= MAX_STREAMS
      ? `this manager has ${this.#size} open, the limit`
      : ofNode >= MAX_STREAMS_PER_NODE
      ? `node ${nodeID} has ${ofNode} open, the limit`
      : undefined;
    if (full) {
      throw new CoveyError("resource_exhausted", `Cannot open a stream: ${full}`, { retryable: true });
    }
    this.#size++;
    this.#perNode.set(nodeID, ofNode + 1);
  }

  #give(nodeID: string): void {
    this.#size--;
    const left = this.#perNode.get(nodeID)! - 1;
    if (left === 0) this.#perNode.delete(nodeID);
    else this.#perNode.set(nodeID, left);
  }

  /** Before anything happens: nobody uses a task without a trace. */
  #tell(usage: StreamUsage): void {
    logger.info("{by} uses task {task} on node {node}: {what}", shown(usage));
    for (const listener of [...this.#listeners]) listener(usage);
  }
}

function checkRuns(task: Task): void {
  if (task.Status.State === "running") return;
  const message = `Cannot enter task ${taskName(task)}: it does not run, it is ${task.Status.State}`;
  throw new CoveyError("failed_precondition", message);
}

/** What a node sends, of which anything may come. A failure becomes the last frame: the client has its answer already. */
async function* pieces(fromNode: AsyncIterable<unknown>): AsyncGenerator<Uint8Array, void> {
  try {
    for await (const piece of fromNode) {
      if (!(piece instanceof Uint8Array) || piece.length > MAX_STREAM_PIECE_BYTES) {
        throw new CoveyError("invalid_argument", "Cannot go on with the stream: the node sends what is none");
      }
      if (piece.length > 0) yield piece;
    }
  } catch (thrown) {
    const { code, message } = CoveyError.from(thrown);
    yield fromTask({
      Error: code === "canceled" ? "Cannot go on with the stream: its node is gone" : message,
    });
  }
}

function inWords(use: StreamUse): string {
  switch (use.Kind) {
    case "exec":
      return showable(`exec ${use.Command.join(" ")}`.slice(0, MAX_SHOWN_CHARACTERS));
    case "copy":
      return showable(`copy ${use.Write ? "to" : "from"} ${use.Path}`.slice(0, MAX_SHOWN_CHARACTERS));
    case "forward":
      return `forward port ${use.Port}`;
  }
}

function shown({ task, by, what }: StreamUsage) {
  return { by: showable(by), task: taskName(task), node: task.NodeID, what };
}
