/** Writes `Response`s to a connection as HTTP/1.1. */
import type { RequestHead } from "./request_head.ts";
import type { SocketReader } from "./socket_reader.ts";
import { textOf } from "./whole_text.ts";

const encoder = new TextEncoder();

/** Characters that are encoded at once, or more if a part has more: what a socket takes in one go, and the processor's cache holds. */
const PIECE_CHARACTERS = 64 * 1024;
const END_OF_CHUNK = encoder.encode("\r\n"), LAST_CHUNK = encoder.encode("0\r\n\r\n");

const REASONS: Record<number, string> = {
  200: "OK",
  201: "Created",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  409: "Conflict",
  413: "Content Too Large",
  500: "Internal Server Error",
  501: "Not Implemented",
  503: "Service Unavailable",
};

/** The part of `Deno.Conn` that writing takes. */
export type ByteSink = Pick<Deno.Conn, "write">;

/** Writes all of `bytes`. */
export async function writeAll(sink: ByteSink, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await sink.write(bytes.subarray(at));
}

/** Writes the responses of one connection. */
export class ResponseWriter {
  readonly #sink: ByteSink;
  readonly #reader: SocketReader;
  /** Header lines of every response. */
  readonly #common: string;

  /** `reader` tells when the client leaves; `headers` are those of every response, besides its own. */
  constructor(sink: ByteSink, reader: SocketReader, headers: Readonly<Record<string, string>> = {}) {
    this.#sink = sink;
    this.#reader = reader;
    this.#common = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join("");
  }

  /**
   * Writes the response: a stream, marked by its `Transfer-Encoding` header, chunk by chunk as it comes, all others at once.
   * Resolves with whether the connection can take another request.
   */
  async write(request: RequestHead, response: Response): Promise<boolean> {
    const known = textOf(response);
    const own = known ? `content-type: ${known.contentType}\r\n` : ownHeaders(response);
    const connection = request.keepAlive ? "" : "connection: close\r\n";
    const head =
      `HTTP/1.1 ${response.status} ${REASONS[response.status] ?? "Status"}\r\n${own}${this.#common}` +
      connection;
    const hasBody = request.method !== "HEAD";
    if (!known && hasBody && response.headers.has("transfer-encoding") && response.body !== null) {
      await writeAll(this.#sink, encoder.encode(`${head}transfer-encoding: chunked\r\n\r\n`));
      return await writeChunks(this.#sink, this.#reader, response.body) && request.keepAlive;
    }
    if (known && hasBody) await this.#writeParts(head, known.parts, request.keepAlive);
    else {
      const body = known
        ? encoder.encode(known.parts.join(""))
        : new Uint8Array(await response.arrayBuffer());
      const start = encoder.encode(`${head}content-length: ${body.length}\r\n\r\n`);
      await writeAll(this.#sink, hasBody ? joined(start, body) : start);
    }
    return request.keepAlive;
  }

  /** Much text goes in chunks, so that its bytes are never there all at once; not to a client that may be too old for them. */
  async #writeParts(head: string, parts: readonly string[], mayChunk: boolean): Promise<void> {
    const isShort = parts.length === 1 || charactersOf(parts) <= PIECE_CHARACTERS;
    if (isShort || !mayChunk) return await writeAll(this.#sink, wholeMessage(head, parts.join("")));
    let start = `${head}transfer-encoding: chunked\r\n\r\n`;
    for (const piece of piecesOf(parts)) {
      await writeAll(this.#sink, framed(encoder.encode(piece), start));
      start = "";
    }
    await writeAll(this.#sink, LAST_CHUNK);
  }
}

function charactersOf(parts: readonly string[]): number {
  return parts.reduce((sum, { length }) => sum + length, 0);
}

/** Puts parts together until they are many characters. */
function* piecesOf(parts: readonly string[]): Iterable<string> {
  let [from, characters] = [0, 0];
  for (const [at, { length }] of parts.entries()) {
    characters += length;
    if (characters < PIECE_CHARACTERS) continue;
    yield parts.slice(from, at + 1).join("");
    [from, characters] = [at + 1, 0];
  }
  if (from < parts.length) yield parts.slice(from).join("");
}

/** Head and body in one encoding. Nearly every text is ASCII, so that it has as many bytes as characters. */
function wholeMessage(head: string, text: string): Uint8Array {
  const start = (length: number) => `${head}content-length: ${length}\r\n\r\n`;
  const message = encoder.encode(start(text.length) + text);
  const length = message.length - start(text.length).length;
  return length === text.length ? message : encoder.encode(start(length) + text);
}

function ownHeaders(response: Response): string {
  let lines = "";
  for (const [name, value] of response.headers) {
    if (name !== "transfer-encoding" && name !== "content-length") lines += `${name}: ${value}\r\n`;
  }
  return lines;
}

/** `bytes` as a chunk, after what goes before it. */
function framed(bytes: Uint8Array, before = ""): Uint8Array {
  const size = `${bytes.length.toString(16)}\r\n`;
  return joined(encoder.encode(before + size), bytes, END_OF_CHUNK);
}

function joined(...parts: Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/**
 * Copies `body` until it ends, fails or the client leaves; false in the latter cases: a body that stops without its last
 * chunk is how the client learns that it is not complete.
 */
async function writeChunks(
  sink: ByteSink,
  reader: SocketReader,
  body: ReadableStream<Uint8Array>,
): Promise<boolean> {
  const chunks = body.getReader();
  const gone = clientGone(reader);
  try {
    for (;;) {
      const next = await Promise.race([chunks.read().catch(() => "failed" as const), gone]);
      if (next === "gone" || next === "failed") return false;
      if (next.done) break;
      if (next.value.length === 0) continue;
      await writeAll(sink, framed(next.value));
    }
    await writeAll(sink, LAST_CHUNK);
    return true;
  } finally {
    await chunks.cancel().catch(() => {});
  }
}

/** Resolves when the client closes its side, which is how it ends a stream. */
async function clientGone(reader: SocketReader): Promise<"gone"> {
  const more = await reader.fill().catch(() => false);
  // Another request is waiting already: the client is there, and its leaving shows when a write fails.
  return more ? await new Promise(() => {}) : "gone";
}
