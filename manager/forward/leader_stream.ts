/** A server stream of the leader's, or what it sends in a duplex call. */
import type { Connection } from "../../transport/mod.ts";
import type { Lease } from "./leader_connections.ts";

/**
 * Opens a stream and resolves with it once its first item or its end is there: a failure until then is one of the call,
 * which may be made again; one after it is the stream's. The place on the connection is held until the stream ends.
 */
export function openStream<T>(
  lease: Lease,
  open: (connection: Connection) => AsyncIterable<T>,
): Promise<AsyncIterableIterator<T>> {
  return begun(open(lease.connection), lease.hold());
}

/** `stream` once its first item or its end is there; `release` is called at its end. */
export async function begun<T>(
  stream: AsyncIterable<T>,
  release: () => void = () => {},
): Promise<AsyncIterableIterator<T>> {
  const items = stream[Symbol.asyncIterator]();
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
  const rest: AsyncIterableIterator<T> = {
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
    [Symbol.asyncIterator]: () => rest,
  };
  return rest;
}

/** `items`, which are left as they are by who ends them without having asked for one: another try can have them. */
export function untouched(items: AsyncIterator<unknown>): AsyncIterableIterator<unknown> {
  let touched = false;
  const watched: AsyncIterableIterator<unknown> = {
    next() {
      touched = true;
      return items.next();
    },
    async return() {
      if (touched) await items.return?.();
      return { value: undefined, done: true };
    },
    [Symbol.asyncIterator]: () => watched,
  };
  return watched;
}
