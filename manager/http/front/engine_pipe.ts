/** Hands a connection to the container engine, bytes as they are in both directions, upgrades and half-closes included. */
import { CoveyError } from "../../../api/errors.ts";
import { writeAll } from "./response_writer.ts";
import type { RequestHead } from "./request_head.ts";
import type { SocketReader } from "./socket_reader.ts";

const encoder = new TextEncoder();

/** Where requests for the engine go, and in which words. */
export interface EngineEntry {
  /** Path of its Unix socket. */
  readonly socket: string;
  /** Path and query of a request, in a version that the engine speaks. */
  target(target: string): Promise<string>;
}

/** Bytes copied at once. */
const COPY_BYTES = 64 * 1024;

/**
 * Sends the request and everything after it to the `engine`, and its answer back, until both sides are done. The
 * engine is asked to close after its answer, so this connection carries no further request: nothing needs to be parsed.
 * Throws if the engine cannot be reached; then nothing was written to the client.
 */
export async function pipeToEngine(
  client: Deno.UnixConn,
  reader: SocketReader,
  head: RequestHead,
  engine: EngineEntry,
): Promise<void> {
  const target = await engine.target(head.target);
  using connection = await connect(engine.socket);
  await writeAll(connection, encoder.encode(engineHead({ ...head, target })));
  const upload = copyUp(client, reader, connection);
  await copyDown(connection, client);
  // The answer is complete: wake the upload, which may be waiting for a client that waits for us.
  closeWrite(client);
  close(client);
  await upload;
}

async function connect(path: string): Promise<Deno.UnixConn> {
  try {
    return await Deno.connect({ transport: "unix", path });
  } catch (cause) {
    const { message } = CoveyError.from(cause);
    const text = `Cannot reach the container engine on this node: ${message}`;
    throw new CoveyError("unavailable", text, { cause });
  }
}

/** The head as the engine gets it: an upgrade as it is, anything else with `Connection: close`. */
function engineHead({ method, target, headers }: RequestHead): string {
  const upgrade = headers.some(([name]) => name.toLowerCase() === "upgrade");
  const kept = upgrade ? headers : headers.filter(([name]) => name.toLowerCase() !== "connection");
  const lines = kept.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return `${method} ${target} HTTP/1.1\r\n${lines}${upgrade ? "" : "Connection: close\r\n"}\r\n`;
}

async function copyUp(client: Deno.UnixConn, reader: SocketReader, engine: Deno.UnixConn): Promise<void> {
  try {
    for (;;) {
      await writeAll(engine, reader.take());
      if (!await reader.fill()) break;
    }
    closeWrite(engine);
  } catch {
    // Either side went away; the other direction notices by itself, unless the client is what failed.
    close(client);
  }
}

async function copyDown(engine: Deno.UnixConn, client: Deno.UnixConn): Promise<void> {
  const buffer = new Uint8Array(COPY_BYTES);
  try {
    for (let count = await engine.read(buffer); count !== null; count = await engine.read(buffer)) {
      await writeAll(client, buffer.subarray(0, count));
    }
  } catch {
    // Either side went away: the answer ends here.
  }
}

function closeWrite(connection: Deno.UnixConn): void {
  connection.closeWrite().catch(() => {});
}

function close(connection: Deno.UnixConn): void {
  try {
    connection.close();
  } catch {
    // It is closed already.
  }
}
