/** Puts over HTTP with kept connections: the same client for our members and for etcd's JSON gateway. */
import { HTTPConnection } from "./http_connection.ts";

/** Something that takes values. */
export interface PutClient {
  put(nth: number): Promise<void>;
  close(): void;
}

/** Opens `clients` connections to `url`; the body of the nth put is `body(nth)`. */
export async function httpPutClient(
  url: string,
  clients: number,
  body: (nth: number) => string | Uint8Array,
): Promise<PutClient> {
  const { hostname, port, pathname } = new URL(url);
  const idle = await Promise.all(
    Array.from(
      { length: clients },
      () => HTTPConnection.open({ hostname, port: Number(port) }, pathname, "application/json"),
    ),
  );
  const all = [...idle];
  return {
    async put(nth) {
      const connection = idle.pop()!;
      const answer = await connection.post(body(nth));
      idle.push(connection);
      if (answer.status !== 200) throw new Error(`Cannot put: ${answer.status} ${answer.body}`);
    },
    close: () => all.forEach((connection) => connection.close()),
  };
}
