/** Who is connected to the control socket, and who gives way when all places are taken. */

/** A connection, and what serves it. */
export class Client {
  readonly connection: Deno.UnixConn;
  readonly #table: ClientTable;

  constructor(connection: Deno.UnixConn, table: ClientTable) {
    this.connection = connection;
    this.#table = table;
  }

  /** It is the client's turn: to send, or to read. Each time counts anew. */
  waits(): void {
    this.#table.waiting.delete(this);
    this.#table.waiting.add(this);
  }

  /** It is our turn. */
  works(): void {
    this.#table.waiting.delete(this);
  }

  async write(bytes: Uint8Array): Promise<number> {
    this.waits();
    try {
      return await this.connection.write(bytes);
    } finally {
      this.works();
    }
  }

  /** Ends the connection, and with it whatever waits for it. */
  close(): void {
    try {
      this.connection.close();
    } catch {
      // Closed already.
    }
  }
}

/** The connections of one control socket. */
export class ClientTable {
  /** Those that we wait for, who has kept us waiting longest first. */
  readonly waiting: Set<Client> = new Set();
  readonly #most: number;
  /** Those that have a place. */
  readonly #placed = new Set<Client>();
  /** What serves them, and those on their way out. */
  readonly #serving = new Set<Promise<void>>();
  #piped = 0;

  /** At most `most` connections; of these a quarter is never handed to the engine. */
  constructor(most: number) {
    this.#most = most;
  }

  get size(): number {
    return this.#placed.size;
  }

  /**
   * Has `serve` serve a connection until it ends. False if all places are taken by clients that wait for us; otherwise the one
   * that has kept us waiting longest gives way.
   */
  admit(connection: Deno.UnixConn, serve: (client: Client) => Promise<void>): boolean {
    if (this.#placed.size >= this.#most && !this.dropOldest()) return false;
    const client = new Client(connection, this);
    this.#placed.add(client);
    const serving = serve(client).finally(() => {
      client.close();
      client.works();
      this.#placed.delete(client);
      this.#serving.delete(serving);
    });
    this.#serving.add(serving);
    return true;
  }

  /** Ends the connection that has kept us waiting longest; false if there is none. */
  dropOldest(): boolean {
    const [oldest] = this.waiting;
    if (oldest === undefined) return false;
    this.waiting.delete(oldest);
    this.#placed.delete(oldest);
    oldest.close();
    return true;
  }

  /** Runs `pipe`, which may last as long as the client likes; false if too many do. */
  async whilePiped(pipe: () => Promise<void>): Promise<boolean> {
    if (this.#piped >= this.#most * 3 / 4) return false;
    this.#piped++;
    try {
      await pipe();
    } finally {
      this.#piped--;
    }
    return true;
  }

  /** Ends all connections and waits until nothing is served any more. */
  async close(): Promise<void> {
    for (const client of this.#placed) client.close();
    await Promise.all(this.#serving);
  }
}
