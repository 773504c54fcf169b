/** Reads one HTTP/1.1 answer (RFC 9112), as the engine gives it: a length, chunks, or until the connection ends. */

/** Where the bytes come from; null at the end. */
export interface ByteSource {
  read(into: Uint8Array): Promise<number | null>;
}

/** What an answer begins with. */
export interface HttpHead {
  status: number;
  /** Bytes of the body, or how its end shows. */
  body: number | "chunked" | "until end";
}

/** Read at once, and so kept for as long as a stream is open: an inspection fits into two. */
const READ_BYTES = 4 * 1024;
/** Longest head, and longest line in a body: an engine's has 300 bytes. */
const MAX_HEAD_BYTES = 16 * 1024;

const LINE_FEED = 10;

/** The answer on one connection, which serves no second one. Every method throws an Error that says what is wrong. */
export class HttpReader {
  readonly #source: ByteSource;
  readonly #buffer = new Uint8Array(READ_BYTES);
  #from = 0;
  #to = 0;
  #headLeft = MAX_HEAD_BYTES;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  /** The head; interim ones (100 to 199) are passed over. */
  async head(): Promise<HttpHead> {
    while (true) {
      const first = await this.#line();
      const status = Number(/^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(first)?.[1] ?? NaN);
      if (Number.isNaN(status)) throw new Error("the answer is no HTTP");
      const body = await this.#fields();
      if (status >= 200) return { status, body: status === 204 || status === 304 ? 0 : body };
    }
  }

  /** The body's pieces. Each is good only until the next is asked for. */
  async *body({ body }: HttpHead): AsyncGenerator<Uint8Array> {
    if (body !== "chunked") return yield* this.#bytes(body === "until end" ? Infinity : body);
    while (true) {
      this.#headLeft = MAX_HEAD_BYTES;
      const size = /^([0-9a-f]{1,8})[ \t]*(?:;|$)/i.exec(await this.#line())?.[1];
      if (size === undefined) throw new Error("a chunk of the answer has no size");
      const length = parseInt(size, 16);
      if (length === 0) break;
      yield* this.#bytes(length);
      if (await this.#line() !== "") throw new Error("a chunk of the answer is longer than its size");
    }
    await this.#fields();
  }

  async #fields(): Promise<HttpHead["body"]> {
    let body: HttpHead["body"] = "until end";
    for (let line; (line = await this.#line()) !== "";) {
      const [, name, value] = /^([^\s:]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? [];
      if (name === undefined || value === undefined) throw new Error("the answer's head is malformed");
      const field = name.toLowerCase();
      if (field === "transfer-encoding") {
        if (value.toLowerCase() !== "chunked") throw new Error(`the answer is encoded as ${value}`);
        body = "chunked";
      } else if (field === "content-length" && body !== "chunked") {
        if (!/^\d{1,15}$/.test(value)) throw new Error(`the answer's length is ${value}`);
        body = Number(value);
      }
    }
    return body;
  }

  async *#bytes(length: number): AsyncGenerator<Uint8Array> {
    while (length > 0) {
      if (this.#from === this.#to && !await this.#fill()) {
        if (length === Infinity) return;
        throw endedEarly();
      }
      const piece = this.#buffer.subarray(this.#from, Math.min(this.#to, this.#from + length));
      this.#from += piece.length;
      length -= piece.length;
      yield piece;
    }
  }

  /** The text up to a line feed, without it and the carriage return before it. */
  async #line(): Promise<string> {
    let line = "";
    while (true) {
      if (this.#from === this.#to && !await this.#fill()) throw endedEarly();
      const found = this.#buffer.subarray(0, this.#to).indexOf(LINE_FEED, this.#from);
      const end = found < 0 ? this.#to : found + 1;
      this.#headLeft -= end - this.#from;
      if (this.#headLeft < 0) throw new Error(`the answer's head exceeds ${MAX_HEAD_BYTES} bytes`);
      line += String.fromCharCode(...this.#buffer.subarray(this.#from, end));
      this.#from = end;
      if (found >= 0) return line.slice(0, line.endsWith("\r\n") ? -2 : -1);
    }
  }

  async #fill(): Promise<boolean> {
    const count = await this.#source.read(this.#buffer);
    this.#from = 0;
    this.#to = count ?? 0;
    return this.#to > 0;
  }
}

function endedEarly(): Error {
  return new Error("the connection ended in the middle of the answer");
}
