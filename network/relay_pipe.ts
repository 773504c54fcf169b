/** A connection of a task's on one side, a call with items both ways on the other: each direction ends by itself. */
import { CoveyError } from "../api/errors.ts";
import { MAX_RELAY_PIECE_BYTES, type RelayCall } from "../api/relay.ts";

/** Opens a connection to where `to` says, through the manager: what comes from there, and in return what `toManager` gives. */
export type OpenRelay = (
  to: Omit<RelayCall, "SessionID">,
  toManager: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
) => AsyncIterable<unknown>;

/** What is needed of a connection. */
export type TaskConnection = Pick<Deno.TcpConn, "read" | "write" | "closeWrite" | "close">;

/** Passes on what comes, both ways, until both are over or either fails; closes the connection. Rejects with what failed. */
export async function pipeRelay(
  connection: TaskConnection,
  open: (toManager: AsyncIterable<Uint8Array>) => AsyncIterable<unknown>,
): Promise<void> {
  const sent = Promise.withResolvers<void>();
  try {
    for await (const piece of open(piecesOf(connection, sent.resolve))) {
      if (!(piece instanceof Uint8Array) || piece.length > MAX_RELAY_PIECE_BYTES) {
        throw new CoveyError("invalid_argument", "Cannot go on: what was relayed is no piece of bytes");
      }
      for (let at = 0; at < piece.length;) at += await connection.write(piece.subarray(at));
    }
    await connection.closeWrite();
    await sent.promise;
  } finally {
    try {
      connection.close();
    } catch {
      // It is closed.
    }
  }
}

/** `onEnd` is called when nothing more comes, or nobody wants more. */
async function* piecesOf(
  connection: TaskConnection,
  onEnd: () => void,
): AsyncGenerator<Uint8Array, void> {
  try {
    while (true) {
      const buffer = new Uint8Array(MAX_RELAY_PIECE_BYTES), count = await connection.read(buffer);
      if (count === null) return;
      yield buffer.subarray(0, count);
    }
  } finally {
    onEnd();
  }
}
