/** The body of a request for the swarm: read as a whole because it is small, except for an upload. */
import { CoveyError } from "../../../api/errors.ts";
import { DockerError } from "../docker_error.ts";
import type { RequestHead } from "./request_head.ts";
import type { SocketReader } from "./socket_reader.ts";

/** Bytes of the longest body (SwarmKit's RPC maximum). */
export const MAX_BODY_BYTES = 4 * 1024 * 1024;
/** Bytes of the longest line that announces a chunk. */
const MAX_CHUNK_LINE = 1024;

const decoder = new TextDecoder();

/** Reads the body that `head` announces. Throws 413 beyond {@linkcode MAX_BODY_BYTES}, `invalid_argument` for a broken one. */
export async function readBody(reader: SocketReader, head: RequestHead): Promise<Uint8Array<ArrayBuffer>> {
  if (head.length === 0) return new Uint8Array();
  if (head.length !== undefined) {
    checkSize(head.length);
    return await readExactly(reader, head.length);
  }
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  for (let total = 0;;) {
    const size = await readChunkSize(reader);
    checkSize(total += size);
    if (size === 0) break;
    chunks.push(await readExactly(reader, size));
    await readLine(reader);
  }
  while (await readLine(reader) !== "") { /* trailers say nothing of interest */ }
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}

/** The body in pieces as they come: for what is too long to be held. Errors are those of {@linkcode readBody}. */
export async function* bodyPieces(reader: SocketReader, head: RequestHead): AsyncGenerator<Uint8Array, void> {
  if (head.length !== undefined) return yield* pieces(reader, head.length);
  for (;;) {
    const size = await readChunkSize(reader);
    if (size === 0) break;
    yield* pieces(reader, size);
    await readLine(reader);
  }
  while (await readLine(reader) !== "") { /* trailers say nothing of interest */ }
}

async function* pieces(reader: SocketReader, count: number): AsyncGenerator<Uint8Array, void> {
  for (let left = count; left > 0;) {
    if (reader.peek().length === 0 && !await reader.fill()) throw broken(`it ends ${left} bytes too early`);
    const piece = reader.take(left);
    left -= piece.length;
    yield piece;
  }
}

async function readChunkSize(reader: SocketReader): Promise<number> {
  const size = parseInt(await readLine(reader), 16);
  if (size >= 0) return size;
  throw broken("a chunk has no size");
}

function checkSize(bytes: number): void {
  if (bytes <= MAX_BODY_BYTES) return;
  throw new DockerError(
    413,
    "resource_exhausted",
    `Cannot read the request body: it has ${bytes} bytes, more than ${MAX_BODY_BYTES}`,
  );
}

function broken(what: string): CoveyError {
  return new CoveyError("invalid_argument", `Cannot read the request body: ${what}`);
}

async function readExactly(reader: SocketReader, count: number): Promise<Uint8Array<ArrayBuffer>> {
  while (reader.peek().length < count) {
    if (!await reader.fill()) throw broken(`it ends after ${reader.peek().length} of ${count} bytes`);
  }
  return reader.take(count);
}

async function readLine(reader: SocketReader): Promise<string> {
  for (;;) {
    const end = reader.peek().indexOf(10);
    if (end >= 0) return decoder.decode(reader.take(end + 1)).trimEnd();
    if (reader.peek().length > MAX_CHUNK_LINE) throw broken("a chunk's first line is too long");
    if (!await reader.fill()) throw broken("it ends inside a chunk");
  }
}
