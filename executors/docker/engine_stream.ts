/** Calls of the engine in which bytes go in as well: its hijacked connections, and archives of any length. */
import { CoveyError } from "../../api/errors.ts";
import {
  type EngineClient,
  type EngineConnection,
  engineError,
  type Query,
  requestHead,
} from "./engine_client.ts";
import { HttpReader } from "./http_reader.ts";

/** A connection that an answer has made one of bytes both ways. */
export interface Hijacked {
  /** What comes, each piece good until the next. */
  readonly pieces: AsyncIterable<Uint8Array>;
  write(bytes: Uint8Array): Promise<void>;
  /** Nothing more goes in. */
  closeWrite(): Promise<void>;
  close(): void;
}

/** Bytes of the longest refusal. */
const MAX_REFUSAL_BYTES = 64 * 1024;

/** Posts `body`, after whose answer the connection is one of bytes. Throws as `EngineClient.call` does. */
export async function hijack(engine: EngineClient, path: string, body: unknown): Promise<Hijacked> {
  const connection = await engine.dial();
  const text = new TextEncoder().encode(JSON.stringify(body));
  const head = requestHead("POST", path, {}, [
    "Content-Type: application/json",
    `Content-Length: ${text.length}`,
  ]);
  try {
    await connection.write(head);
    await connection.write(text);
    const reader = new HttpReader(connection), answer = await reader.head();
    if (answer.status >= 300) throw engineError(answer.status, await textOf(reader.body(answer)));
    return {
      pieces: reader.body({ ...answer, body: "until end" }),
      write: (bytes) => connection.write(bytes),
      closeWrite: () => connection.closeWrite(),
      close: () => connection.close(),
    };
  } catch (thrown) {
    connection.close();
    throw thrown;
  }
}

/** Puts an archive of any length. Throws as `EngineClient.call` does. */
export async function upload(
  engine: EngineClient,
  path: string,
  query: Query,
  archive: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  const connection = await engine.dial(), abort = () => connection.close();
  signal.addEventListener("abort", abort);
  try {
    signal.throwIfAborted();
    await connection.write(
      requestHead("PUT", path, query, ["Content-Type: application/x-tar", "Transfer-Encoding: chunked"]),
    );
    const reader = new HttpReader(connection), answering = reader.head();
    answering.catch(() => {});
    // What the engine refuses, it does not read on: its answer says why.
    await sendChunks(connection, archive).catch(() => {});
    const answer = await answering;
    if (answer.status >= 300) throw engineError(answer.status, await textOf(reader.body(answer)));
  } catch (thrown) {
    signal.throwIfAborted();
    throw CoveyError.from(thrown);
  } finally {
    signal.removeEventListener("abort", abort);
    abort();
  }
}

async function sendChunks(connection: EngineConnection, archive: AsyncIterable<Uint8Array>): Promise<void> {
  const encoder = new TextEncoder();
  for await (const piece of archive) {
    if (piece.length === 0) continue;
    await connection.write(encoder.encode(`${piece.length.toString(16)}\r\n`));
    await connection.write(piece);
    await connection.write(encoder.encode("\r\n"));
  }
  await connection.write(encoder.encode("0\r\n\r\n"));
}

async function textOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const piece of body) {
    text += decoder.decode(piece, { stream: true });
    if (text.length > MAX_REFUSAL_BYTES) break;
  }
  return text;
}
