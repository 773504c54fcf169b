import { RAFT_METHODS } from "../../../api/raft.ts";
import type { Message } from "../../../manager/raft/mod.ts";
import type { Connection, Dialer } from "../../../transport/mod.ts";

/** A dialer that shows `onMessage` each Raft message as it leaves; everything else goes as through `dialer`. */
export function watchedDialer(dialer: Dialer, onMessage: (message: Message) => void): Dialer {
  async function* watched(items: AsyncIterable<unknown>): AsyncGenerator<unknown> {
    for await (const item of items) {
      for (const message of (item as { Messages?: Message[] }).Messages ?? []) onMessage(message);
      yield item;
    }
  }
  const withWatch = (connection: Connection): Connection => {
    const clientStream: Connection["clientStream"] = (method, items, options) =>
      connection.clientStream(method, method === RAFT_METHODS.messages ? watched(items) : items, options);
    return new Proxy(connection, {
      get(target, name) {
        if (name === "clientStream") return clientStream;
        const value = Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  };
  return { dial: async (address, options) => withWatch(await dialer.dial(address, options)) };
}
