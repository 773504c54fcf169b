/** A server stream of the leader's, or what it sends in a duplex call. */
import type { Connection } from "../../transport/mod.ts";
import type { Lease } from "./leader_connections.ts";

/**
 * Opens a stream and resolves with it once its first item or its end is there: a failure until then is one of the call,
 * which may be made again; one after it is the stream's. The place on the connection is held until the stream ends.
 */
export async function openStream<T>(
  lease: Lease,
  open: (connection: Connection) => AsyncIterable<T>,
): Promise<AsyncIterableIterator<T>> {
  const release = lease.hold();
  const items = open(lease.connection)[Symbol.asyncIterator]();
  const pull = async () => {
    try {
      const next = await items.next();
      if (next.done) release();
      return next;
    } catch (thrown) {
      release();
      throw thrown;
    }
  };
  let first: IteratorResult<T> | undefined = await pull();
  const stream: AsyncIterableIterator<T> = {
    next() {
      if (first === undefined) return pull();
      const next = first;
      first = undefined;
      return Promise.resolve(next);
    },
    async return() {
      release();
      await items.return?.();
      return { value: undefined, done: true };
    },
    [Symbol.asyncIterator]: () => stream,
  };
  return stream;
}
