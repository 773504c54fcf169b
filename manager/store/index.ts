/** An index of a table: rows by key. Most keys have one row, so a set is made only for the second. */
import type { IndexSpec } from "./indexes.ts";

/**
 * Place of an object in its table. `object` is undefined while a transaction that deleted it is undecided.
 */
export interface Row<O> {
  object: O | undefined;
  /** Ascends with creation. */
  readonly order: number;
}

/** An index over the rows of one table. */
export class Index<O> {
  readonly #spec: IndexSpec<O>;
  readonly #buckets = new Map<string, Row<O> | Set<Row<O>>>();

  constructor(spec: IndexSpec<O>) {
    this.#spec = spec;
  }

  /** Objects with `key` in the order of creation. */
  find(key: string): O[] {
    const folded = this.#spec.fold?.(key) ?? key;
    const bucket = this.#buckets.get(folded);
    if (bucket === undefined) return [];
    if (!(bucket instanceof Set)) return [bucket.object!];
    return this.#ordered(folded, bucket);
  }

  /** True if another object holds the key of `object` and the index is unique. */
  clash(object: O & { ID: string }): boolean {
    if (!this.#spec.unique) return false;
    const key = this.#spec.key(object);
    if (key === undefined) return false;
    return this.find(key).some((other) => (other as { ID: string }).ID !== object.ID);
  }

  add(row: Row<O>, object: O): void {
    const key = this.#spec.key(object);
    if (key === undefined) return;
    const bucket = this.#buckets.get(key);
    if (bucket === undefined) this.#buckets.set(key, row);
    else if (bucket instanceof Set) bucket.add(row);
    else this.#buckets.set(key, new Set([bucket, row]));
  }

  delete(row: Row<O>, object: O): void {
    const key = this.#spec.key(object);
    if (key === undefined) return;
    const bucket = this.#buckets.get(key);
    if (bucket === row) this.#buckets.delete(key);
    else if (bucket instanceof Set) {
      bucket.delete(row);
      if (bucket.size === 0) this.#buckets.delete(key);
    }
  }

  /** `row` changes from `before` to `after`. */
  move(row: Row<O>, before: O, after: O): void {
    const { key, same } = this.#spec;
    if (same ? same(before, after) : key(before) === key(after)) return;
    this.delete(row, before);
    this.add(row, after);
  }

  /** Rows join a set in any order (an update can move an old row), so it is sorted when somebody asks. */
  #ordered(key: string, bucket: Set<Row<O>>): O[] {
    const objects: O[] = [];
    let last = -1;
    for (const row of bucket) {
      if (row.order < last) {
        const rows = [...bucket].sort((a, b) => a.order - b.order);
        this.#buckets.set(key, new Set(rows));
        return rows.map((r) => r.object!);
      }
      last = row.order;
      objects.push(row.object!);
    }
    return objects;
  }
}
