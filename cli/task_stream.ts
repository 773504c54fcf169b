/** Streams into tasks, as the commands use them. */
import { CoveyError } from "../api/errors.ts";
import { showableLines } from "../api/characters.ts";
import { inputFrames, type OutputFrame, readOutput, type ToTask, toTask } from "../api/stream_frames.ts";
import { STREAM_PATH, type StreamUse } from "../api/streams.ts";
import type { TaskView } from "./api_types.ts";
import type { ControlClient } from "./client.ts";
import { getService, hostnames, tasksOfService } from "./lookup.ts";
import { writeAll } from "./upgrade.ts";

/** A stream that is open. */
export class TaskStream {
  readonly #connection: Deno.Conn;
  readonly #frames: AsyncIterator<OutputFrame>;
  #writing: Promise<unknown> = Promise.resolve();

  private constructor(connection: Deno.Conn, pieces: AsyncIterable<Uint8Array>) {
    this.#connection = connection;
    this.#frames = readOutput(pieces);
  }

  /** Opens a stream into the task. Rejects with the manager's words, or the task's node's, once that has answered. */
  static async open(client: ControlClient, taskID: string, use: StreamUse): Promise<TaskStream> {
    const path = `/tasks/${encodeURIComponent(taskID)}/${STREAM_PATH}`;
    const { connection, pieces } = await client.upgrade(path, use);
    const stream = new TaskStream(connection, pieces);
    try {
      const first = await stream.next();
      if (first?.kind === "control" && "Started" in first.control) return stream;
      throw new CoveyError(
        "unknown",
        "Cannot go on with the stream: the node does not say that it has started",
      );
    } catch (thrown) {
      stream.close();
      throw thrown;
    }
  }

  /** The next that comes; undefined at the end. Rejects with why the node does not go on. */
  async next(): Promise<OutputFrame | undefined> {
    const next = await this.#frames.next();
    if (next.done) return undefined;
    const frame = next.value;
    if (frame.kind === "control" && "Error" in frame.control) {
      throw new CoveyError("unknown", showableLines(frame.control.Error));
    }
    return frame;
  }

  /** Resolves when it is on its way: a task that does not read holds back who sends. */
  async send(data: Uint8Array): Promise<void> {
    if (data.length === 0) return;
    for (const frame of inputFrames(data)) await this.#write(frame);
  }

  /** There is no more to send. */
  async end(): Promise<void> {
    for (const frame of inputFrames(new Uint8Array())) await this.#write(frame);
  }

  async say(what: ToTask): Promise<void> {
    await this.#write(toTask(what));
  }

  close(): void {
    try {
      this.#connection.close();
    } catch {
      // Closed already.
    }
  }

  /** One frame after the other: what is said must not stand in the middle of data. */
  #write(frame: Uint8Array): Promise<void> {
    const writing = this.#writing.then(() => writeAll(this.#connection, frame));
    this.#writing = writing.catch(() => {});
    return writing;
  }
}

/** The running task that `reference` names: a task, or the first one of a service, `SERVICE@NODE` that on a node. */
export async function runningTask(client: ControlClient, reference: string): Promise<TaskView> {
  try {
    return await client.get<TaskView>(`/tasks/${encodeURIComponent(reference)}`);
  } catch (thrown) {
    if (CoveyError.from(thrown).code !== "not_found") throw thrown;
  }
  const at = reference.indexOf("@"), name = at < 0 ? reference : reference.slice(0, at);
  const node = at < 0 ? undefined : reference.slice(at + 1);
  const service = await getService(client, name).catch((thrown) => {
    if (CoveyError.from(thrown).code !== "not_found") throw thrown;
    throw new CoveyError("not_found", `no such task or service: ${name}`, { cause: thrown });
  });
  const [tasks, hosts] = await Promise.all([tasksOfService(client, service.ID), hostnames(client)]);
  const fits = ({ NodeID = "" }: TaskView) =>
    node === undefined || NodeID === node || hosts.get(NodeID) === node;
  const [task] = tasks.filter((each) => each.Status.State === "running" && fits(each))
    .toSorted((a, b) => (a.Slot ?? 0) - (b.Slot ?? 0) || a.CreatedAt.localeCompare(b.CreatedAt));
  if (task) return task;
  const where = node === undefined ? "" : ` on node ${node}`;
  throw new CoveyError("not_found", `service ${name} has no running task${where}`);
}
