/** Writes `Response`s to a connection as HTTP/1.1. */
import type { RequestHead } from "./request_head.ts";
import type { SocketReader } from "./socket_reader.ts";
import { textOf } from "./whole_text.ts";

const encoder = new TextEncoder();

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
    const body = known ? encoder.encode(known.text) : new Uint8Array(await response.arrayBuffer());
    const start = encoder.encode(`${head}content-length: ${body.length}\r\n\r\n`);
    await writeAll(this.#sink, hasBody ? joined(start, body) : start);
    return request.keepAlive;
  }
}

function ownHeaders(response: Response): string {
  let lines = "";
  for (const [name, value] of response.headers) {
    if (name !== "transfer-encoding" && name !== "content-length") lines += `${name}: ${value}\r\n`;
  }
  return lines;
}

function joined(start: Uint8Array, rest: Uint8Array): Uint8Array {
  const all = new Uint8Array(start.length + rest.length);
  all.set(start);
  all.set(rest, start.length);
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
      const size = encoder.encode(`${next.value.length.toString(16)}\r\n`);
      const framed = new Uint8Array(size.length + next.value.length + 2);
      framed.set(size);
      framed.set(next.value, size.length);
      framed.set([13, 10], framed.length - 2);
      await writeAll(sink, framed);
    }
    await writeAll(sink, encoder.encode("0\r\n\r\n"));
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
