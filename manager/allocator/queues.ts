/** Who waits for what, the first to wait first. */

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

  add(key: string, id: string): void {
    const queue = this.#queues.get(key);
    if (queue === undefined) this.#queues.set(key, new Set([id]));
    else queue.add(id);
  }

  /** The first `count` of those who wait for `key`, who wait no more. */
  take(key: string, count: number): string[] {
    const queue = this.#queues.get(key);
    if (queue === undefined || count <= 0) return [];
    const taken: string[] = [];
    for (const id of queue) {
      if (taken.length === count) break;
      taken.push(id);
      queue.delete(id);
    }
    if (queue.size === 0) this.#queues.delete(key);
    return taken;
  }

  takeAll(key: string): string[] {
    return this.take(key, Infinity);
  }
}
