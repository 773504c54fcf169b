/** A connection that becomes a stream into a task: answered with 101, and then bytes both ways, until either end closes it. */
import { CoveyError } from "../../../api/errors.ts";
import { fromTask } from "../../../api/stream_frames.ts";
import { MAX_STREAM_PIECE_BYTES } from "../../../api/streams.ts";
import type { Client } from "./client_table.ts";
import type { RequestHead } from "./request_head.ts";
import { writeAll } from "./response_writer.ts";
import type { SocketReader } from "./socket_reader.ts";

/** Opens what `target` and `body` name; rejects while an answer with an error can still be given. */
export type OpenStream = (
  target: string,
  body: string,
  fromClient: AsyncIterator<Uint8Array>,
  signal: AbortSignal,
) => Promise<AsyncIterableIterator<unknown>>;

const UPGRADED = new TextEncoder().encode(
  "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n" +
    "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
);

/** Serves the stream until it is over. `body` is the request's, read already. */
export async function serveStream(
  client: Client,
  reader: SocketReader,
  head: RequestHead,
  body: Uint8Array,
  open: OpenStream,
): Promise<void> {
  if (
    !head.headers.some(([name, value]) => name.toLowerCase() === "upgrade" && value.toLowerCase() === "tcp")
  ) {
    throw new CoveyError("invalid_argument", "Cannot open a stream: the request has no header Upgrade: tcp");
  }
  const left = new AbortController();
  let upgraded = false;
  try {
    const items = await open(head.target, new TextDecoder().decode(body), piecesOf(reader), left.signal);
    upgraded = true;
    await writeAll(client.connection, UPGRADED);
    for await (const piece of lastWords(items)) await writeAll(client.connection, piece);
  } finally {
    left.abort(new CoveyError("canceled", "Cannot go on with the stream: the client has left"));
    // Wakes a read that waits for the client. One that is refused is yet to hear why.
    if (upgraded) client.close();
  }
}

/** What the client sends; its end is that of the stream. */
async function* piecesOf(reader: SocketReader): AsyncGenerator<Uint8Array, void> {
  do {
    while (reader.peek().length > 0) yield reader.take(MAX_STREAM_PIECE_BYTES);
  } while (await reader.fill());
}

/** The client has its answer: what goes wrong now is told in a frame. */
async function* lastWords(items: AsyncIterable<unknown>): AsyncGenerator<Uint8Array, void> {
  try {
    for await (const item of items) if (item instanceof Uint8Array) yield item;
  } catch (thrown) {
    yield fromTask({ Error: CoveyError.from(thrown).message });
  }
}
