/** Puts over HTTP with kept connections: the same client for our members and for etcd's JSON gateway. */

/** Something that takes values. */
export interface PutClient {
  put(nth: number): Promise<void>;
  close(): void;
}

/** A client whose body of the nth put is `body(nth)`. */
export function httpPutClient(
  url: string,
  clients: number,
  body: (nth: number) => BodyInit,
): PutClient {
  const client = Deno.createHttpClient({ poolMaxIdlePerHost: clients });
  return {
    async put(nth) {
      const response = await fetch(url, { method: "POST", client, body: body(nth) });
      const text = await response.text();
      if (!response.ok) throw new Error(`Cannot put: ${response.status} ${text}`);
    },
    close: () => client.close(),
  };
}
