/** The Docker Engine API over its Unix socket, from inside the agent's sandbox. */
import { CoveyError, type ErrorCode } from "../../api/errors.ts";
import { HttpReader } from "./http_reader.ts";

/** The version every engine since 20.10 speaks. */
const API_VERSION = "v1.41";
/** Longest answer or line of a stream; `/containers/json` and inspections stay far below. */
const MAX_ANSWER_BYTES = 8 * 1024 * 1024;

const CODES: Record<number, ErrorCode> = {
  400: "invalid_argument",
  401: "unauthenticated",
  403: "permission_denied",
  404: "not_found",
  409: "already_exists",
  501: "unimplemented",
  503: "unavailable",
};

/** Query parameters; undefined ones are left out. */
export type Query = Record<string, string | undefined>;

/**
 * One engine. HTTP of our own, one connection a call: the platform's client maps 2 MB of code, which is a lot for
 * a device, and a Unix socket is opened in less time than a kept one can turn out to be stale. The sandbox must
 * allow `--allow-net=unix:SOCKET --allow-read=SOCKET --allow-write=SOCKET`.
 */
export class EngineClient {
  readonly #socket: string;
  readonly #open = new Set<Deno.Conn>();

  constructor(socket: string) {
    this.#socket = socket;
  }

  /**
   * One call; the parsed answer, or undefined if it has no body (204, 304).
   *
   * @throws {CoveyError} with the engine's own message; `unavailable` and retryable if it cannot be reached.
   */
  async call<T>(method: string, path: string, options: CallOptions = {}): Promise<T> {
    const text = await readAll(this.#pieces(method, path, options), path);
    return (text === "" ? undefined : parse(text, path)) as T;
  }

  /** The JSON objects that a streaming call sends, one by one. Ends with the stream; aborts with the signal. */
  async *stream<T>(method: string, path: string, options: CallOptions = {}): AsyncGenerator<T> {
    let rest = "";
    const decoder = new TextDecoder();
    for await (const piece of this.#pieces(method, path, options)) {
      const lines = (rest + decoder.decode(piece, { stream: true })).split("\n");
      rest = lines.pop()!;
      if (rest.length > MAX_ANSWER_BYTES) throw tooLong(path);
      for (const line of lines) if (line.trim() !== "") yield parse(line, path) as T;
    }
    if (rest.trim() !== "") yield parse(rest, path) as T;
  }

  /** The bytes that a call answers with, as they come; each piece is good only until the next. */
  bytes(method: string, path: string, options: CallOptions = {}): AsyncIterable<Uint8Array> {
    return this.#pieces(method, path, options);
  }

  /** A connection to it, for calls in which bytes go in as well; whoever asked for it closes it. */
  async dial(): Promise<EngineConnection> {
    let connection: Deno.Conn;
    try {
      connection = await Deno.connect({ transport: "unix", path: this.#socket });
    } catch (thrown) {
      throw this.#broken("CONNECT", "", thrown);
    }
    this.#open.add(connection);
    return {
      read: (into) => connection.read(into),
      write: (bytes) => send(connection, bytes),
      closeWrite: () => connection.closeWrite(),
      close: () => this.#end(connection),
    };
  }

  /** Ends all connections. */
  close(): void {
    for (const connection of [...this.#open]) this.#end(connection);
  }

  /** The body's bytes, each piece good until the next; the connection ends with them. */
  async *#pieces(method: string, path: string, options: CallOptions): AsyncGenerator<Uint8Array> {
    const { signal } = options;
    let connection: Deno.Conn | undefined;
    const abort = () => connection && this.#end(connection);
    try {
      signal?.throwIfAborted();
      connection = await Deno.connect({ transport: "unix", path: this.#socket });
      this.#open.add(connection);
      signal?.throwIfAborted();
      signal?.addEventListener("abort", abort);
      await send(connection, requestBytes(method, path, options));
      const reader = new HttpReader(connection);
      const head = await reader.head();
      const body = reader.body(head);
      if (head.status >= 300 && head.status !== 304) {
        throw engineError(head.status, await readAll(body, path));
      }
      options.onOpen?.();
      yield* body;
    } catch (error) {
      throw this.#broken(method, path, error, signal);
    } finally {
      signal?.removeEventListener("abort", abort);
      abort();
    }
  }

  #end(connection: Deno.Conn): void {
    if (this.#open.delete(connection)) connection.close();
  }

  #broken(method: string, path: string, error: unknown, signal?: AbortSignal): unknown {
    if (signal?.aborted) return signal.reason;
    if (error instanceof CoveyError) return error;
    const why = error instanceof Error ? error.message : String(error);
    return new CoveyError(
      error instanceof Deno.errors.NotCapable ? "permission_denied" : "unavailable",
      `Cannot reach the Docker Engine at ${this.#socket}: ${method} ${path}: ${why}`,
      { cause: error },
    );
  }
}

/** A connection to the engine. */
export interface EngineConnection {
  read(into: Uint8Array): Promise<number | null>;
  /** Writes all of it. */
  write(bytes: Uint8Array): Promise<void>;
  closeWrite(): Promise<void>;
  close(): void;
}

/** What goes with a call. */
export interface CallOptions {
  query?: Query;
  headers?: Record<string, string>;
  body?: unknown;
  /** An archive, in place of a body. */
  archive?: Uint8Array;
  signal?: AbortSignal;
  /** As `v1.44`: an engine that does not speak it refuses the call. @default API_VERSION */
  version?: string;
  /** Called when a stream has begun, though nothing came through it yet. */
  onOpen?: () => void;
}

function requestBytes(
  method: string,
  path: string,
  { query = {}, headers = {}, body, archive, version = API_VERSION }: CallOptions,
): Uint8Array {
  const text = body === undefined ? "" : JSON.stringify(body);
  const content = archive ?? new TextEncoder().encode(text);
  const type = archive ? "application/x-tar" : "application/json", isFull = archive ?? body !== undefined;
  const fields = isFull ? [`Content-Type: ${type}`] : [];
  if (isFull || method === "POST") fields.push(`Content-Length: ${content.length}`);
  // As in the first line, a line break must not begin another.
  for (const [name, value] of new Headers(headers)) fields.push(`${name}: ${value}`);
  return new Uint8Array([...requestHead(method, path, query, fields, version), ...content]);
}

/** What a request begins with, its `fields` included. */
export function requestHead(
  method: string,
  path: string,
  query: Query,
  fields: readonly string[],
  version: string = API_VERSION,
): Uint8Array {
  // A URL escapes what must not stand in a request's first line: blanks, line breaks.
  const url = new URL(`http://docker/${version}${path}`);
  for (const [key, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(key, value);
  const first = `${method} ${url.pathname}${url.search} HTTP/1.1`;
  return new TextEncoder().encode(
    [first, "Host: docker", "Connection: close", ...fields, "", ""].join("\r\n"),
  );
}

async function send(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
}

async function readAll(pieces: AsyncIterable<Uint8Array>, path: string): Promise<string> {
  const decoder = new TextDecoder();
  let text = "", length = 0;
  for await (const piece of pieces) {
    if ((length += piece.length) > MAX_ANSWER_BYTES) throw tooLong(path);
    text += decoder.decode(piece, { stream: true });
  }
  return text;
}

function parse(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CoveyError("internal", `Cannot read the Docker Engine's answer to ${path}: no JSON`, { cause });
  }
}

function tooLong(path: string): CoveyError {
  return new CoveyError(
    "resource_exhausted",
    `Cannot read the Docker Engine's answer to ${path}: longer than ${MAX_ANSWER_BYTES} bytes`,
  );
}

/** Keeps the engine's words, as `docker service ps` shows them. */
export function engineError(status: number, body: string): CoveyError {
  let message = body.trim();
  try {
    message = (JSON.parse(body) as { message?: string }).message ?? message;
  } catch {
    // A proxy or a broken engine answers in its own words.
  }
  return new CoveyError(CODES[status] ?? "internal", message || `the Docker Engine answered ${status}`);
}
