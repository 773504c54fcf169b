/** Questions over TCP (RFC 7766): asked by those whose answer did not fit into a packet. */
import { createServer, type Server, type Socket } from "node:net";

/** A length before each message. */
const LENGTH_BYTES = 2;
/** Bytes of the longest question: a name and its type, with room for options. */
const MAX_QUESTION_BYTES = 1024;
/** Connections at once, of all containers: above that, new ones are closed. */
const MAX_CONNECTIONS = 64;
/** A connection on which nothing is asked for so long is closed. */
const IDLE_MS = 10_000;

/** The answer to a message from an address; undefined for what is no question. */
export type AnswerTo = (message: Uint8Array, from: string) => Promise<Uint8Array | undefined>;

/** Listens at `address`; resolves once it does. */
export async function listenForQuestions(address: string, port: number, answer: AnswerTo): Promise<Server> {
  const server = createServer((socket) => void serve(socket, answer).catch(() => socket.destroy()));
  server.maxConnections = MAX_CONNECTIONS;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen(port, address, resolve);
  await promise;
  server.off("error", reject);
  return server;
}

/** The answer of a resolver at `address`; undefined without one in time. */
export async function askOverTCP(
  address: string,
  port: number,
  question: Uint8Array,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  const connection = await Deno.connect({ hostname: address, port }).catch(() => undefined);
  if (connection === undefined) return undefined;
  const close = () => connection.close();
  signal.addEventListener("abort", close);
  try {
    signal.throwIfAborted();
    await connection.write(joined(new Uint8Array([question.length >> 8, question.length & 255]), question));
    let got: Uint8Array = new Uint8Array();
    for await (const piece of connection.readable) {
      got = joined(got, piece);
      const end = LENGTH_BYTES + got[0]! * 256 + (got[1] ?? 255);
      if (got.length >= end) return got.subarray(LENGTH_BYTES, end);
    }
    return undefined;
  } catch {
    return undefined;
  } finally {
    signal.removeEventListener("abort", close);
    try {
      close();
    } catch {
      // It is closed.
    }
  }
}

/** One question after the other, as they come. */
async function serve(socket: Socket, answer: AnswerTo): Promise<void> {
  socket.setTimeout(IDLE_MS, () => socket.destroy());
  socket.on("error", () => socket.destroy());
  let waiting: Uint8Array = new Uint8Array();
  for await (const piece of socket) {
    waiting = joined(waiting, piece);
    while (waiting.length >= LENGTH_BYTES) {
      const length = waiting[0]! * 256 + waiting[1]!;
      if (length > MAX_QUESTION_BYTES) return void socket.destroy();
      if (waiting.length < LENGTH_BYTES + length) break;
      const given = await answer(
        waiting.subarray(LENGTH_BYTES, LENGTH_BYTES + length),
        socket.remoteAddress ?? "",
      );
      if (given === undefined) return void socket.destroy();
      socket.write(joined(new Uint8Array([given.length >> 8, given.length & 255]), given));
      waiting = waiting.subarray(LENGTH_BYTES + length);
    }
  }
  socket.end();
}

function joined(one: Uint8Array, other: Uint8Array): Uint8Array {
  const all = new Uint8Array(one.length + other.length);
  all.set(one);
  all.set(other, one.length);
  return all;
}
