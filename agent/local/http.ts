/** As much of HTTP/1.1 as the agent's own socket needs: one request a connection, small ones only. */
import { type Clock, sleep } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";

/** Bytes of the longest request. */
const MAX_REQUEST_BYTES = 16 * 1024;
/** How long a request may take to come: whoever asks is on the same device. */
const REQUEST_MS = 10_000;

/** A request. */
export interface LocalRequest {
  method: string;
  path: string;
  query: URLSearchParams;
  /** What stands behind `Authorization: Bearer`. */
  token: string;
  /** The body as JSON; an empty one is an empty object. */
  body: Record<string, unknown>;
}

/** An answer: an object, or a text that comes piece by piece. */
export type LocalAnswer =
  | { status: number; json: unknown }
  | { status: number; text: AsyncIterable<Uint8Array> };

const WORDS: Record<number, string> = {
  200: "OK",
  400: "Bad Request",
  401: "Unauthorized",
  404: "Not Found",
};

/** Reads the one request of a connection. Throws `invalid_argument` for what is none, `deadline_exceeded` for half of one. */
export async function readRequest(connection: Deno.Conn, clock: Clock): Promise<LocalRequest> {
  const done = new AbortController();
  const late = sleep(clock, REQUEST_MS, done.signal).then(() => {
    throw new CoveyError(
      "deadline_exceeded",
      `Cannot read the request: it takes more than ${REQUEST_MS / 1000} s`,
    );
  });
  late.catch(() => {});
  try {
    return await Promise.race([read(connection), late]);
  } finally {
    done.abort();
  }
}

async function read(connection: Deno.Conn): Promise<LocalRequest> {
  let bytes = new Uint8Array();
  const buffer = new Uint8Array(4096);
  const more = async () => {
    const count = await connection.read(buffer);
    if (count === null) throw malformed("it ends too early");
    if (bytes.length + count > MAX_REQUEST_BYTES) {
      throw malformed(`it has more than ${MAX_REQUEST_BYTES} bytes`);
    }
    const grown = new Uint8Array(bytes.length + count);
    grown.set(bytes);
    grown.set(buffer.subarray(0, count), bytes.length);
    bytes = grown;
  };
  let head = "", end = -1;
  while (end < 0) {
    await more();
    head = new TextDecoder("latin1").decode(bytes);
    end = head.indexOf("\r\n\r\n");
  }
  const [first = "", ...lines] = head.slice(0, end).split("\r\n");
  // Clients that take the socket for a proxy name a host, too.
  const [, method, target] =
    /^([A-Z]{1,16}) (?:http:\/\/[^/ ]*)?(\/[^ ]{0,4095}) HTTP\/1\.[01]$/.exec(first) ?? [];
  if (method === undefined || target === undefined) throw malformed("its first line is no HTTP/1.1");
  const header = (name: string) => {
    const found = lines.find((line) => line.toLowerCase().startsWith(`${name}:`));
    return found?.slice(name.length + 1).trim() ?? "";
  };
  if (header("transfer-encoding") !== "") throw malformed("its body has to have a length");
  const length = Number(header("content-length") || 0);
  if (!Number.isInteger(length) || length < 0 || length > MAX_REQUEST_BYTES) {
    throw malformed("its length is none");
  }
  while (bytes.length < end + 4 + length) await more();
  const { pathname, searchParams } = new URL(`http://covey${target}`);
  return {
    method,
    path: pathname,
    query: searchParams,
    token: /^Bearer ([\w.-]{1,200})$/i.exec(header("authorization"))?.[1] ?? "",
    body: bodyOf(new TextDecoder().decode(bytes.subarray(end + 4, end + 4 + length))),
  };
}

function bodyOf(text: string): Record<string, unknown> {
  if (text === "") return {};
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return value as Record<string, unknown>;
    }
  } catch {
    // As for what is no object.
  }
  throw malformed("its body is no object of JSON");
}

/** Writes an answer; the connection ends with it. */
export async function writeAnswer(connection: Deno.Conn, answer: LocalAnswer): Promise<void> {
  const encoder = new TextEncoder(), { status } = answer, isJSON = "json" in answer;
  const body = isJSON ? encoder.encode(`${JSON.stringify(answer.json)}\n`) : undefined;
  const type = isJSON ? "application/json" : "text/plain; charset=utf-8";
  const length = body ? `Content-Length: ${body.length}\r\n` : "";
  const head = `HTTP/1.1 ${status} ${
    WORDS[status] ?? "Status"
  }\r\nContent-Type: ${type}\r\n${length}Connection: close\r\n\r\n`;
  await writeAll(connection, encoder.encode(head));
  if (body) await writeAll(connection, body);
  if ("text" in answer) { for await (const piece of answer.text) await writeAll(connection, piece); }
}

async function writeAll(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
}

function malformed(what: string): CoveyError {
  return new CoveyError("invalid_argument", `Cannot read the request: ${what}`);
}
