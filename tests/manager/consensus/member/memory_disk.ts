/** A disk in memory that outlives its users and dies when told to. */
import { CoveyError } from "../../../../api/errors.ts";
import type { Disk, DiskKey, Mutation } from "../../../../manager/consensus/disk/disk.ts";

/** What is stored; `open` gives it to one user at a time. */
export class MemoryDisk {
  #records: { key: DiskKey; value: Uint8Array }[] = [];
  #user = 0;
  /** Commits so far. */
  commits = 0;
  /** Commits that still succeed. */
  left = Infinity;
  /** Commits that begin meanwhile never end. */
  hangs = false;

  /** Whoever had it before can neither write nor notice: its power is off. */
  open(): Disk {
    const user = ++this.#user;
    const { promise, resolve } = Promise.withResolvers<Error>();
    const isMine = () => user === this.#user;
    return {
      failed: promise,
      get: (key) =>
        Promise.resolve(this.#records.find((record) => compareKeys(record.key, key) === 0)?.value),
      list: (prefix, start = prefix) => this.#list(prefix, start),
      close: () => Promise.resolve(),
      commit: async (mutations) => {
        await Promise.resolve();
        if (!isMine() || this.hangs) return await new Promise(() => {});
        if (this.left-- > 0) return this.#apply(mutations);
        const error = new CoveyError("data_loss", "Cannot write: the test pulled the plug");
        resolve(error);
        throw error;
      },
    };
  }

  /** Turns the power off. */
  unplug(): void {
    this.#user++;
  }

  /** Flips a bit in a record; done twice, it is as it was. */
  flip(key: DiskKey): void {
    const found = this.#records.find((record) => compareKeys(record.key, key) === 0)!;
    found.value = found.value.with(-1, found.value.at(-1)! ^ 4);
  }

  #apply(mutations: readonly Mutation[]): void {
    this.commits++;
    for (const { key, value } of mutations) {
      const at = this.#find(key);
      const exists = at < this.#records.length && compareKeys(this.#records[at]!.key, key) === 0;
      const record = value === undefined ? [] : [{ key, value: value.slice() }];
      this.#records.splice(at, exists ? 1 : 0, ...record);
    }
  }

  #find(key: DiskKey): number {
    let [from, to] = [0, this.#records.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if (compareKeys(this.#records[middle]!.key, key) < 0) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  async *#list(prefix: DiskKey, start: DiskKey): AsyncIterable<{ key: DiskKey; value: Uint8Array }> {
    await Promise.resolve();
    for (const record of this.#records.slice(this.#find(start))) {
      if (compareKeys(record.key.slice(0, prefix.length), prefix) !== 0) return;
      yield record;
    }
  }
}

/** Deno KV's order: text before numbers, a prefix before what it begins. */
export function compareKeys(a: DiskKey, b: DiskKey): number {
  for (let at = 0; at < a.length && at < b.length; at++) {
    const [x, y] = [a[at]!, b[at]!];
    if (x === y) continue;
    if (typeof x === typeof y) return x < y ? -1 : 1;
    return typeof x === "string" ? -1 : 1;
  }
  return a.length - b.length;
}
