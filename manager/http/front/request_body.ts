/** The body of a request for the swarm: read as a whole because it is small, except for an upload. */
import { CoveyError } from "../../../api/errors.ts";
import { DockerError } from "../docker_error.ts";
import type { BodyBuffer } from "./body_budget.ts";
import type { RequestHead } from "./request_head.ts";
import type { SocketReader } from "./socket_reader.ts";

/** Bytes of the longest body (SwarmKit's RPC maximum). */
export const MAX_BODY_BYTES = 4 * 1024 * 1024;
/** Chunks of the longest body: of 16 bytes each, less than any client sends at once. */
const MAX_CHUNKS = MAX_BODY_BYTES / 16;
/** Chunks before the event loop has a turn: about a millisecond, however small they are. */
const MAX_TURN_CHUNKS = 64;
/** Lines after the last chunk. */
const MAX_TRAILERS = 64;
/** Bytes of the longest line that announces a chunk. */
const MAX_CHUNK_LINE = 1024;

const decoder = new TextDecoder();
const NOTHING = new Uint8Array();

/** The body if there is none, or if it came with its head, as nearly all do; undefined if it is still to come. */
export function bodyAtHand(
  reader: SocketReader,
  { length }: RequestHead,
): Uint8Array<ArrayBuffer> | undefined {
  if (length === 0) return NOTHING;
  if (length === undefined || length > MAX_BODY_BYTES || reader.peek().length < length) return undefined;
  return reader.take(length);
}

/**
 * Reads the body that `head` announces into `buffer`. Throws 413 beyond {@linkcode MAX_BODY_BYTES}, `invalid_argument` for a
 * broken one, and as {@linkcode BodyBudget.take} does.
 */
export async function readBody(
  reader: SocketReader,
  head: RequestHead,
  buffer: BodyBuffer,
): Promise<Uint8Array<ArrayBuffer>> {
  const { length } = head;
  if (length !== undefined) {
    checkSize(length);
    await readExactly(reader, length, buffer);
    return buffer.finish();
  }
  for (let chunks = 1; chunks <= MAX_CHUNKS; chunks++) {
    if (chunks % MAX_TURN_CHUNKS === 0) await reader.rest();
    const size = await readChunkSize(reader);
    checkSize(buffer.length + size);
    if (size === 0) {
      await readTrailers(reader);
      return buffer.finish();
    }
    await readExactly(reader, size, buffer);
    await readLine(reader);
  }
  throw broken(`it has more than ${MAX_CHUNKS} chunks`);
}

/** The body in pieces as they come: for what is too long to be held. Errors are those of {@linkcode readBody}. */
export async function* bodyPieces(reader: SocketReader, head: RequestHead): AsyncGenerator<Uint8Array, void> {
  if (head.length !== undefined) return yield* pieces(reader, head.length);
  for (let chunks = 1;; chunks++) {
    if (chunks % MAX_TURN_CHUNKS === 0) await reader.rest();
    const size = await readChunkSize(reader);
    if (size === 0) break;
    yield* pieces(reader, size);
    await readLine(reader);
  }
  await readTrailers(reader);
}

/** They say nothing of interest. */
async function readTrailers(reader: SocketReader): Promise<void> {
  for (let lines = 0; lines < MAX_TRAILERS; lines++) if (await readLine(reader) === "") return;
  throw broken(`it has more than ${MAX_TRAILERS} trailers`);
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

async function readExactly(reader: SocketReader, count: number, buffer: BodyBuffer): Promise<void> {
  for await (const piece of pieces(reader, count)) buffer.append(piece);
}

async function readLine(reader: SocketReader): Promise<string> {
  for (;;) {
    const end = reader.peek().indexOf(10);
    if (end >= 0) return decoder.decode(reader.take(end + 1)).trimEnd();
    if (reader.peek().length > MAX_CHUNK_LINE) throw broken("a chunk's first line is too long");
    if (!await reader.fill()) throw broken("it ends inside a chunk");
  }
}
