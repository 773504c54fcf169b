/**
 * The control API's Unix socket. Each request on a connection is looked at by itself: the swarm's are answered here, all
 * others go to the container engine byte by byte. See `docs/decisions/0020-control-socket.md`.
 */
import { getLogger } from "@logtape/logtape";
import { Backoff } from "../../../api/backoff.ts";
import { sleep, systemClock } from "../../../api/clock.ts";
import { CoveyError } from "../../../api/errors.ts";
import { SayOnce } from "../../../api/say_once.ts";
import { ownDescriptors } from "../../../transport/descriptors.ts";
import { DockerError, dockerError } from "../docker_error.ts";
import { isStreamPath, isSwarmPath, isUploadPath } from "../engine_paths.ts";
import { BodyBudget } from "./body_budget.ts";
import { type Client, ClientTable } from "./client_table.ts";
import { type EngineEntry, pipeToEngine } from "./engine_pipe.ts";
import { bodyAtHand, bodyPieces, MAX_BODY_BYTES, readBody } from "./request_body.ts";
import { readHead, type RequestHead } from "./request_head.ts";
import { ResponseWriter, writeAll } from "./response_writer.ts";
import { SocketReader } from "./socket_reader.ts";
import { type OpenStream, serveStream } from "./task_stream.ts";
import { SocketRequest } from "./socket_request.ts";

/** Connections open at once: each client holds one or two. */
const MAX_CONNECTIONS = 512;
/** First and longest pause after a connection could not be accepted: others must let go of something first. */
const MIN_ACCEPT_PAUSE_MS = 20;
const MAX_ACCEPT_PAUSE_MS = 1_000;

/** Bytes that are read and dropped after a refusal; a client that sends more is cut off. */
const MAX_DRAINED_BYTES = 64 * 1024 * 1024;

const logger = getLogger(["covey", "control-socket"]);
const CONTINUE = new TextEncoder().encode("HTTP/1.1 100 Continue\r\n\r\n");

/** What a control socket serves. */
export interface ControlSocketOptions {
  /** Path of the socket; what is left there by an earlier run is replaced. */
  path: string;
  /** Answers the swarm's requests; whoever may connect is the administrator, and may use the engine. */
  fetch: (request: Request) => Response | Promise<Response>;
  /** Headers of every response, besides its own. */
  headers?: Readonly<Record<string, string>>;
  /** The local container engine, if there is one. */
  engine?: EngineEntry | undefined;
  /** Opens streams into tasks. */
  openStream?: OpenStream;
  /** Where a request with this path and query goes as it is, instead of to `fetch`. */
  passOn?: (target: string) => EngineEntry | undefined;
}

/** A socket that is being served. */
export interface ControlSocket {
  readonly path: string;
  /** Stops accepting, ends open connections and removes the socket. */
  close(): Promise<void>;
}

/** Listens with mode 0600: whoever may connect rules the cluster. Throws `Deno.errors.AddrInUse` if somebody serves it. */
export async function serveControlSocket(options: ControlSocketOptions): Promise<ControlSocket> {
  await removeStale(options.path);
  const listener = listenOn(options.path);
  await Deno.chmod(options.path, 0o600);
  const { control } = await ownDescriptors();
  // A connection that is handed to the engine takes two.
  const table = new ClientTable(Math.min(MAX_CONNECTIONS, Math.floor(control / 2)));
  const stopped = new AbortController();
  const accepting = accept(listener, { ...options, table, bodies: new BodyBudget() }, stopped.signal);
  return {
    path: options.path,
    async close() {
      stopped.abort();
      listener.close();
      await accepting;
      await table.close();
      await Deno.remove(options.path).catch(() => {});
    },
  };
}

/** What connections are served with. */
interface Serving extends ControlSocketOptions {
  table: ClientTable;
  bodies: BodyBudget;
}

function listenOn(path: string): Deno.UnixListener {
  try {
    return Deno.listen({ transport: "unix", path });
  } catch (cause) {
    throw cannotListen(path, cause);
  }
}

function cannotListen(path: string, cause: unknown): CoveyError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new CoveyError("unavailable", `Cannot listen on ${path}: ${reason}`, { cause });
}

/** Removes the socket of a process that is gone; one that answers stays. */
async function removeStale(path: string): Promise<void> {
  try {
    (await Deno.connect({ transport: "unix", path })).close();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    await Deno.remove(path).catch((cause) => {
      throw cannotListen(path, cause);
    });
    return;
  }
  throw new Deno.errors.AddrInUse(`Cannot listen on ${path}: another process serves it`);
}

/** Accepts until `stopped`. That descriptors have run out ends nothing: who keeps us waiting gives way, and it goes on. */
async function accept(listener: Deno.UnixListener, options: Serving, stopped: AbortSignal): Promise<void> {
  const backoff = new Backoff({ minMs: MIN_ACCEPT_PAUSE_MS, maxMs: MAX_ACCEPT_PAUSE_MS });
  const said = new SayOnce();
  const warn = (problem: string) => {
    if (said.isNew(problem)) logger.warn("Cannot take a connection: {problem}", { problem });
  };
  const { table } = options;
  while (!stopped.aborted) {
    try {
      const connection = await listener.accept();
      if (!table.admit(connection, (client) => serveConnection(client, options))) {
        warn(`${table.size} are open already, and all are at work`);
        connection.close();
      }
      backoff.reset();
    } catch (error) {
      if (stopped.aborted) return;
      warn(CoveyError.from(error).message);
      table.dropOldest();
      await sleep(systemClock, backoff.next(), stopped).catch(() => {});
    }
  }
}

/** Serves one connection until it ends. Never rejects: a client that vanishes is nothing to report. */
async function serveConnection(client: Client, options: Serving): Promise<void> {
  const { connection } = client;
  const reader = new SocketReader(connection);
  const writer = new ResponseWriter(client, reader, options.headers);
  let head: RequestHead | undefined;
  try {
    for (;;) {
      // Before the next one is there, an error is not about the last.
      head = undefined;
      client.waits();
      head = await readHead(reader);
      if (head === undefined) return;
      const entry = entryFor(head.target, options);
      if (entry !== undefined) return await serveElsewhere(client, reader, head, entry, options);
      if (head.expectsContinue) await writeAll(connection, CONTINUE);
      if (options.openStream && isStreamPath(head.target)) {
        return await serveUpgrade(client, reader, head, options.openStream, options);
      }
      if (isUploadPath(head.target)) {
        return await serveUpload(client, reader, writer, head, options);
      }
      if (!await serveRequest(client, reader, writer, head, options)) return;
    }
  } catch (error) {
    if (isGone(error)) return;
    await answerError(writer, head, error).then(() => drain(client, reader)).catch(() => {});
  }
}

/** One request; whether the connection can take another. */
async function serveRequest(
  client: Client,
  reader: SocketReader,
  writer: ResponseWriter,
  head: RequestHead,
  { fetch, bodies }: Serving,
): Promise<boolean> {
  const atHand = bodyAtHand(reader, head);
  const buffer = atHand ? undefined : bodies.buffer(MAX_BODY_BYTES, () => client.close());
  try {
    const body = buffer ? await readBody(reader, head, buffer) : atHand!;
    client.works();
    const request = new SocketRequest(head, body) as unknown as Request;
    return await writer.write(head, await fetch(request));
  } finally {
    buffer?.release();
  }
}

/** A request that becomes a stream; the connection ends with it. */
async function serveUpgrade(
  client: Client,
  reader: SocketReader,
  head: RequestHead,
  open: OpenStream,
  { bodies, table }: Serving,
): Promise<void> {
  const buffer = bodies.buffer(MAX_BODY_BYTES, () => client.close());
  let body: Uint8Array;
  try {
    body = await readBody(reader, head, buffer);
  } finally {
    buffer.release();
  }
  client.works();
  if (await table.whilePiped(() => serveStream(client, reader, head, body, open))) return;
  throw new DockerError(503, "unavailable", "Cannot open a stream: too many connections are open");
}

/** Who takes a request byte by byte. */
function entryFor(target: string, { engine, passOn }: Serving): EngineEntry | undefined {
  return engine !== undefined && !isSwarmPath(target) ? engine : passOn?.(target);
}

async function serveElsewhere(
  client: Client,
  reader: SocketReader,
  head: RequestHead,
  entry: EngineEntry,
  { table }: Serving,
): Promise<void> {
  client.works();
  const pipe = () => pipeToEngine(client.connection, reader, head, entry);
  if (await table.whilePiped(pipe)) return;
  throw new DockerError(
    503,
    "unavailable",
    `Cannot ask ${entry.name}: too many connections to it are open`,
  );
}

/** One request whose body is taken as it comes; the connection ends after it. */
async function serveUpload(
  client: Client,
  reader: SocketReader,
  writer: ResponseWriter,
  head: RequestHead,
  { fetch }: Serving,
): Promise<void> {
  const body = bodyPieces(reader, head);
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      client.waits();
      const { done, value } = await body.next();
      client.works();
      if (done) controller.close();
      else controller.enqueue(value);
    },
  }, { highWaterMark: 0 });
  const { method, target } = head,
    headers = head.headers.map(([name, value]): [string, string] => [name, value]);
  const response = await fetch(new Request(`http://docker${target}`, { method, headers, body: stream }));
  await writer.write({ ...head, keepAlive: false }, response);
  // What a refusal left unread would reset the connection, and with it the answer, if it were closed now.
  try {
    for await (const _ of body) { /* dropped */ }
  } catch {
    // The client has its answer and left.
  }
}

/** Errors that mean the client went away. */
function isGone(error: unknown): boolean {
  return error instanceof Deno.errors.BrokenPipe || error instanceof Deno.errors.ConnectionReset ||
    error instanceof Deno.errors.BadResource || error instanceof Deno.errors.Interrupted;
}

/** The last answer on a connection whose request could not be served. */
async function answerError(
  writer: ResponseWriter,
  head: RequestHead | undefined,
  error: unknown,
): Promise<void> {
  const { status, message, reason } = dockerError(error);
  const request: RequestHead = {
    ...(head ?? { method: "GET", target: "/", headers: [], length: 0, expectsContinue: false }),
    keepAlive: false,
  };
  await writer.write(request, Response.json({ message, reason }, { status }));
}

/** Takes in what is still being sent: a client whose writing fails may never look for the answer. */
async function drain(client: Client, reader: SocketReader): Promise<void> {
  client.waits();
  await client.connection.closeWrite();
  for (let left = MAX_DRAINED_BYTES; left > 0 && await reader.fill();) {
    const count = reader.peek().length;
    reader.skip(count);
    left -= count;
  }
}
