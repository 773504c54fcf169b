/**
 * A kept HTTP/1.1 connection that costs next to nothing: on a machine whose few cores are shared by servers and load, a
 * heavier client would be half of what is measured. It is the same one for us and for whom we compare with.
 */

/** What came back. */
export interface Answer {
  status: number;
  body: string;
}

const CR = 13, LF = 10;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** One request after another. */
export class HTTPConnection {
  readonly #conn: Deno.Conn;
  readonly #head: string;
  #buffer = new Uint8Array(16 * 1024);
  #held = 0;

  private constructor(conn: Deno.Conn, head: string) {
    this.#conn = conn;
    this.#head = head;
  }

  /** Connects for requests `POST path` with bodies of `contentType`. */
  static async open(
    to: Deno.ConnectOptions | Deno.UnixConnectOptions,
    path: string,
    contentType: string,
  ): Promise<HTTPConnection> {
    const conn = "path" in to ? await Deno.connect(to) : await connectAtOnce(to);
    return new HTTPConnection(
      conn,
      `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${contentType}\r\n`,
    );
  }

  /** Sends a request and waits for its answer. Rejects when the connection breaks. */
  async post(body: string | Uint8Array): Promise<Answer> {
    const bytes = typeof body === "string" ? encoder.encode(body) : body;
    const request = new Uint8Array(this.#head.length + 32 + bytes.length);
    const { written } = encoder.encodeInto(`${this.#head}Content-Length: ${bytes.length}\r\n\r\n`, request);
    request.set(bytes, written);
    const end = written + bytes.length;
    for (let at = 0; at < end;) at += await this.#conn.write(request.subarray(at, end));
    return await this.#answer();
  }

  close(): void {
    this.#conn.close();
  }

  async #answer(): Promise<Answer> {
    let headEnd: number;
    while ((headEnd = endOfHead(this.#buffer, this.#held)) < 0) await this.#fill();
    const head = decoder.decode(this.#buffer.subarray(0, headEnd)).toLowerCase();
    const status = Number(head.slice(9, 12));
    const length = /\r\ncontent-length: *(\d+)/.exec(head)?.[1];
    if (length === undefined) throw new Error(`Cannot read the answer: it has no length:\n${head}`);
    const end = headEnd + Number(length);
    while (this.#held < end) await this.#fill();
    const body = decoder.decode(this.#buffer.subarray(headEnd, end));
    this.#buffer.copyWithin(0, end, this.#held);
    this.#held -= end;
    return { status, body };
  }

  async #fill(): Promise<void> {
    if (this.#held === this.#buffer.length) throw new Error("Cannot read the answer: it is too long");
    const count = await this.#conn.read(this.#buffer.subarray(this.#held));
    if (count === null) throw new Error("Cannot read the answer: the connection was closed");
    this.#held += count;
  }
}

async function connectAtOnce(to: Deno.ConnectOptions): Promise<Deno.Conn> {
  const conn = await Deno.connect(to);
  conn.setNoDelay(true);
  return conn;
}

/** Where the body starts; -1 if the head is not complete. */
function endOfHead(bytes: Uint8Array, length: number): number {
  for (let at = bytes.indexOf(CR); at >= 0 && at + 3 < length; at = bytes.indexOf(CR, at + 1)) {
    if (bytes[at + 1] === LF && bytes[at + 2] === CR && bytes[at + 3] === LF) return at + 4;
  }
  return -1;
}
