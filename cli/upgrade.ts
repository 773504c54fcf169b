/** A request that makes a connection to the control API one of bytes both ways (HTTP's `Upgrade`). */
import { CoveyError } from "../api/errors.ts";

/** Bytes of the longest head of an answer: the control API's has 300. */
const MAX_HEAD_BYTES = 16 * 1024;
/** Bytes of the longest refusal that is read. */
const MAX_REFUSAL_BYTES = 64 * 1024;
const READ_BYTES = 16 * 1024;

/** An answer: `status` 101 and a connection to go on with, or a refusal's text. */
export type Upgraded =
  | { status: 101; connection: Deno.Conn; pieces: AsyncIterable<Uint8Array> }
  | { status: number; text: string };

/** Sends `POST path` with `body` over `connection`, which is closed unless the answer is 101. */
export async function upgrade(connection: Deno.Conn, path: string, body: unknown): Promise<Upgraded> {
  const content = new TextEncoder().encode(JSON.stringify(body));
  const head = `POST ${path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n` +
    `Content-Type: application/json\r\nContent-Length: ${content.length}\r\n\r\n`;
  let upgraded = false;
  try {
    await writeAll(connection, new TextEncoder().encode(head));
    await writeAll(connection, content);
    const { text, rest } = await readHead(connection);
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1]);
    if (status === 101) {
      upgraded = true;
      return { status, connection, pieces: piecesOf(connection, rest) };
    }
    if (!(status >= 400)) throw new CoveyError("unknown", "Cannot read the manager's answer: it is no HTTP");
    return { status, text: await readBody(connection, text, rest) };
  } finally {
    if (!upgraded) connection.close();
  }
}

/** Writes all of `bytes`. */
export async function writeAll(connection: Pick<Deno.Conn, "write">, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
}

async function* piecesOf(connection: Deno.Conn, rest: Uint8Array): AsyncGenerator<Uint8Array, void> {
  if (rest.length > 0) yield rest;
  const buffer = new Uint8Array(READ_BYTES);
  for (let count = await connection.read(buffer); count !== null; count = await connection.read(buffer)) {
    yield buffer.slice(0, count);
  }
}

async function readHead(connection: Deno.Conn): Promise<{ text: string; rest: Uint8Array }> {
  let bytes = new Uint8Array();
  const buffer = new Uint8Array(READ_BYTES);
  while (bytes.length < MAX_HEAD_BYTES) {
    const count = await connection.read(buffer);
    if (count === null) break;
    bytes = new Uint8Array([...bytes, ...buffer.subarray(0, count)]);
    const text = new TextDecoder("latin1").decode(bytes), end = text.indexOf("\r\n\r\n");
    if (end >= 0) return { text: text.slice(0, end), rest: bytes.slice(end + 4) };
  }
  throw new CoveyError("unavailable", "Cannot read the manager's answer: the connection broke");
}

/** As far as the head says that it goes: the connection may stay open. */
async function readBody(connection: Deno.Conn, head: string, rest: Uint8Array): Promise<string> {
  const length = Math.min(Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0), MAX_REFUSAL_BYTES);
  const body: number[] = [...rest];
  const buffer = new Uint8Array(READ_BYTES);
  while (body.length < length) {
    const count = await connection.read(buffer);
    if (count === null) break;
    body.push(...buffer.subarray(0, count));
  }
  return new TextDecoder().decode(new Uint8Array(body));
}
