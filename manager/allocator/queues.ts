/** Who waits for what, or is on the way to it: the first to come first. */

/** One queue for each thing that is waited for; nobody stands in the same one twice. */
export class Queues {
  readonly #queues = new Map<string, Set<string>>();

  clear(): void {
    this.#queues.clear();
  }

  /** What is waited for. */
  keys(): string[] {
    return [...this.#queues.keys()];
  }

  /** How many there are for `key`. */
  size(key: string): number {
    return this.#queues.get(key)?.size ?? 0;
  }

  delete(key: string, id: string): void {
    const queue = this.#queues.get(key);
    queue?.delete(id);
    if (queue?.size === 0) this.#queues.delete(key);
  }

  add(key: string, id: string): void {
    const queue = this.#queues.get(key);
    if (queue === undefined) this.#queues.set(key, new Set([id]));
    else queue.add(id);
  }

  /** The first `count` of those who wait for `key`, who wait no more. */
  take(key: string, count: number): string[] {
    const taken: string[] = [];
    for (const id of this.#queues.get(key) ?? []) {
      if (taken.length >= count) break;
      taken.push(id);
      this.delete(key, id);
    }
    return taken;
  }

  takeAll(key: string): string[] {
    return this.take(key, Infinity);
  }
}
