/**
 * The control API's Unix socket. Each request on a connection is looked at by itself: the swarm's are answered here, all
 * others go to the container engine byte by byte. See `docs/decisions/0020-control-socket.md`.
 */
import { getLogger } from "@logtape/logtape";
import { CoveyError } from "../../../api/errors.ts";
import { dockerError } from "../docker_error.ts";
import { isSwarmPath, isUploadPath } from "../engine_paths.ts";
import { type EngineEntry, pipeToEngine } from "./engine_pipe.ts";
import { bodyPieces, readBody } from "./request_body.ts";
import { readHead, type RequestHead } from "./request_head.ts";
import { ResponseWriter, writeAll } from "./response_writer.ts";
import { SocketReader } from "./socket_reader.ts";
import { SocketRequest } from "./socket_request.ts";

/** Connections open at once: each client holds one or two, and a process has 1,024 descriptors by default. */
const MAX_CONNECTIONS = 512;

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
  const connections = new Map<Deno.UnixConn, Promise<void>>();
  const accepting = accept(listener, options, connections);
  return {
    path: options.path,
    async close() {
      listener.close();
      for (const connection of connections.keys()) quietly(() => connection.close());
      await accepting;
      await Promise.all(connections.values());
      await Deno.remove(options.path).catch(() => {});
    },
  };
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

async function accept(
  listener: Deno.UnixListener,
  options: ControlSocketOptions,
  connections: Map<Deno.UnixConn, Promise<void>>,
): Promise<void> {
  for await (const connection of listener) {
    if (connections.size >= MAX_CONNECTIONS) {
      logger.warn("Refused a connection: {count} are open already", { count: connections.size });
      connection.close();
      continue;
    }
    const served = serveConnection(connection, options).finally(() => {
      quietly(() => connection.close());
      connections.delete(connection);
    });
    connections.set(connection, served);
  }
}

function quietly(run: () => void): void {
  try {
    run();
  } catch {
    // Closed already.
  }
}

/** Serves one connection until it ends. Never rejects: a client that vanishes is nothing to report. */
async function serveConnection(connection: Deno.UnixConn, options: ControlSocketOptions): Promise<void> {
  const reader = new SocketReader(connection);
  const writer = new ResponseWriter(connection, reader, options.headers);
  let head: RequestHead | undefined;
  try {
    for (;;) {
      // Before the next one is there, an error is not about the last.
      head = undefined;
      head = await readHead(reader);
      if (head === undefined) return;
      if (options.engine !== undefined && !isSwarmPath(head.target)) {
        return await pipeToEngine(connection, reader, head, options.engine);
      }
      if (head.expectsContinue) await writeAll(connection, CONTINUE);
      if (isUploadPath(head.target)) {
        return await serveUpload(reader, writer, head, options);
      }
      const body = await readBody(reader, head);
      const request = new SocketRequest(head, body) as unknown as Request;
      if (!await writer.write(head, await options.fetch(request))) return;
    }
  } catch (error) {
    if (isGone(error)) return;
    await answerError(writer, head, error).then(() => drain(connection, reader)).catch(() => {});
  }
}

/** One request whose body is taken as it comes; the connection ends after it. */
async function serveUpload(
  reader: SocketReader,
  writer: ResponseWriter,
  head: RequestHead,
  { fetch }: ControlSocketOptions,
): Promise<void> {
  const body = bodyPieces(reader, head);
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await body.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
  }, { highWaterMark: 0 });
  const { method, target, headers } = head;
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
async function drain(connection: Deno.UnixConn, reader: SocketReader): Promise<void> {
  await connection.closeWrite();
  for (let left = MAX_DRAINED_BYTES; left > 0 && await reader.fill();) {
    const count = reader.peek().length;
    reader.skip(count);
    left -= count;
  }
}
