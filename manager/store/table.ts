/** One table in memory: rows by ID in the order of creation, and its indexes. */
import type { Meta } from "../../api/objects.ts";
import { Index, type Row } from "./index.ts";
import type { IndexSpec } from "./indexes.ts";

/** Takes back one tentative change; to be called in the reverse order of the changes. */
export type Undo = () => void;

/** The place of an object that is there. */
export type LiveRow<O> = Row<O> & { object: O };

/** A table. The `try…` operations are tentative: each returns the way back. */
export class Table<O extends Meta> {
  #rows = new Map<string, Row<O>>();
  #live = 0;
  #sorted = true;
  #lastPut = 0;
  #indexes: { name: string; index: Index<O> }[];

  constructor(indexes: Readonly<Record<string, IndexSpec<O>>>) {
    this.#indexes = Object.entries(indexes).map(([name, spec]) => ({ name, index: new Index(spec) }));
  }

  get count(): number {
    return this.#live;
  }

  get(id: string): O | undefined {
    return this.#rows.get(id)?.object;
  }

  /** The place of a live object, for {@linkcode set}. */
  live(id: string): LiveRow<O> | undefined {
    const row = this.#rows.get(id);
    return row?.object === undefined ? undefined : row as LiveRow<O>;
  }

  /** The order of a live object. */
  order(id: string): number | undefined {
    return this.#rows.get(id)?.order;
  }

  all(): O[] {
    if (!this.#sorted) this.#sort();
    const objects: O[] = [];
    for (const row of this.#rows.values()) if (row.object !== undefined) objects.push(row.object);
    return objects;
  }

  /** All objects, and the order of each. Without a lookup for each of them: a large table is imaged in one step. */
  image(): { objects: O[]; orders: number[] } {
    const objects = this.all(), orders: number[] = [];
    for (const { object, order } of this.#rows.values()) if (object !== undefined) orders.push(order);
    return { objects, orders };
  }

  find(index: string, key: string): O[] {
    const found = this.#indexes.find((entry) => entry.name === index);
    if (found === undefined) throw new RangeError(`Cannot find by index ${index}: there is no such index`);
    return found.index.find(key);
  }

  /** The name of a unique index in which another object has the same key as `object`. */
  clash(object: O): string | undefined {
    return this.#indexes.find(({ index }) => index.clash(object))?.name;
  }

  tryInsert(object: O, order: number): Undo {
    const hidden = this.#rows.get(object.ID);
    this.insert(object, order);
    return () => {
      this.remove(object.ID);
      if (hidden === undefined) return;
      this.#rows.set(object.ID, hidden);
      this.#sorted = false;
    };
  }

  trySet(row: LiveRow<O>, object: O): Undo {
    const old = row.object;
    this.set(row, object);
    return () => this.set(row, old);
  }

  tryRemove(id: string): Undo {
    const row = this.#row(id);
    const old = row.object!;
    this.#unindex(row);
    row.object = undefined;
    return () => {
      row.object = old;
      this.#index(row);
    };
  }

  insert(object: O, order: number): void {
    const row: Row<O> = { object, order };
    this.#rows.delete(object.ID);
    this.#rows.set(object.ID, row);
    this.#index(row);
  }

  /** Inserts, or puts in the place of an earlier state of the object; in any order. */
  put(object: O, order: number): void {
    const known = this.live(object.ID);
    if (known?.order === order) return this.set(known, object);
    if (known !== undefined) this.remove(object.ID);
    if (order < this.#lastPut) this.#sorted = false;
    this.#lastPut = order;
    this.insert(object, order);
  }

  /** Replaces the object that is at `row`. */
  set(row: LiveRow<O>, object: O): void {
    for (const { index } of this.#indexes) index.move(row, row.object, object);
    row.object = object;
  }

  /** Removes a live object and returns it. */
  remove(id: string): O {
    const row = this.#row(id);
    this.#unindex(row);
    this.#rows.delete(id);
    return row.object!;
  }

  /** Takes over all of `other`, which must not be used any more. */
  adopt(other: Table<O>): void {
    this.#rows = other.#rows;
    this.#indexes = other.#indexes;
    this.#live = other.#live;
    this.#sorted = other.#sorted;
  }

  #row(id: string): Row<O> {
    const row = this.#rows.get(id);
    if (row?.object === undefined) throw new RangeError(`Cannot change row ${id}: it is not there`);
    return row;
  }

  #index(row: Row<O>): void {
    for (const { index } of this.#indexes) index.add(row, row.object!);
    this.#live++;
  }

  #unindex(row: Row<O>): void {
    for (const { index } of this.#indexes) index.delete(row, row.object!);
    this.#live--;
  }

  #sort(): void {
    this.#rows = new Map([...this.#rows].sort(([, a], [, b]) => a.order - b.order));
    this.#sorted = true;
  }
}
