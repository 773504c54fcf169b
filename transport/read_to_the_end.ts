/** An iterator that says when its consumer is through with it: at its end, its error, or when the consumer leaves. */
export class ReadToTheEnd implements AsyncIterableIterator<unknown> {
  /** Resolves when nobody will ask for more. */
  readonly over: Promise<void>;
  readonly #items: AsyncIterator<unknown>;
  #isOver!: () => void;

  constructor(items: AsyncIterator<unknown>) {
    this.#items = items;
    this.over = new Promise((resolve) => this.#isOver = resolve);
  }

  async next(): Promise<IteratorResult<unknown>> {
    try {
      const next = await this.#items.next();
      if (next.done) this.#isOver();
      return next;
    } catch (error) {
      this.#isOver();
      throw error;
    }
  }

  async return(): Promise<IteratorResult<unknown>> {
    this.#isOver();
    await this.#items.return?.();
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
