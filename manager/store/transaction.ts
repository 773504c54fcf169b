/**
 * A transaction works on the tables themselves and can be taken back: nothing reads them before it is,
 * because a callback is synchronous. The writes are what is left of it.
 */
import { CoveyError } from "../../api/errors.ts";
import type { Meta } from "../../api/objects.ts";
import type { Write } from "./entry.ts";
import type { WriteTransaction } from "./store.ts";
import type { Table, Undo } from "./table.ts";
import type { Indexes, TableName, Tables } from "./tables.ts";

/** All tables of a store. */
export type TableSet = { readonly [T in TableName]: Table<Tables[T]> };

/** What a transaction puts on every object it writes. */
export interface Stamp {
  version: number;
  /** RFC 3339 in UTC */
  time: string;
  /** Applied to each written object. */
  seal: (object: Meta) => void;
}

/** Of objects in these tables clients change the spec and components the rest: it is kept since when the spec is as it is. */
const SHARED_TABLES: ReadonlySet<TableName> = new Set(["clusters", "nodes", "services"]);

/** Order of rows that no entry has given a place yet: behind all others, in the order of their creation. */
const TENTATIVE_ORDER = 2 ** 52;
let tentative = 0;

/** The table of any kind of object. */
export function anyTable(tables: TableSet, name: TableName): Table<Meta> {
  if (!Object.hasOwn(tables, name)) {
    throw new CoveyError("internal", `Cannot use table ${name}: there is no such table`);
  }
  return tables[name] as unknown as Table<Meta>;
}

/** Objects are never changed in place, so that a spec which was not replaced is the same one. */
function withSpecSince(object: Meta, stored: Meta): Meta {
  const { SpecSince: _, ...rest } = object;
  const isSame = (object as { Spec?: unknown }).Spec === (stored as { Spec?: unknown }).Spec;
  return isSame ? { ...rest, SpecSince: stored.SpecSince ?? stored.Version } : rest;
}

/** One running callback's view of the store. */
export class Transaction implements WriteTransaction {
  readonly #tables: TableSet;
  readonly #stamp: Stamp;
  readonly #undos: Undo[] = [];
  #open = true;
  readonly writes = new WriteList();

  constructor(tables: TableSet, stamp: Stamp) {
    this.#tables = tables;
    this.#stamp = stamp;
  }

  get<T extends TableName>(table: T, id: string): Tables[T] | undefined {
    return this.#tables[table].get(id);
  }

  all<T extends TableName>(table: T): Tables[T][] {
    return this.#tables[table].all();
  }

  count(table: TableName): number {
    return this.#tables[table].count;
  }

  find<T extends TableName>(table: T, index: Indexes[T], key: string): Tables[T][] {
    return this.#tables[table].find(index, key);
  }

  create<T extends TableName>(table: T, object: Tables[T]): void {
    const rows = this.#writable(table);
    if (rows.get(object.ID) !== undefined) {
      throw new CoveyError("already_exists", `Cannot create ${table} ${object.ID}: the ID is in use`);
    }
    const { version, time } = this.#stamp;
    const stamped = { ...object, Version: { Index: version }, CreatedAt: time, UpdatedAt: time };
    this.#checkUnique("create", table, stamped);
    this.#stamp.seal(stamped);
    this.#undos.push(rows.tryInsert(stamped, TENTATIVE_ORDER + tentative++));
    this.writes.add({ action: "create", table, object: stamped });
  }

  update<T extends TableName>(table: T, object: Tables[T]): void {
    const rows = this.#writable(table);
    const row = rows.live(object.ID);
    if (row === undefined) {
      throw new CoveyError("not_found", `Cannot update ${table} ${object.ID}: it does not exist`);
    }
    const stored = row.object;
    if (stored.Version.Index !== object.Version.Index) {
      throw new CoveyError(
        "aborted",
        `Cannot update ${table} ${object.ID}: update out of sequence, ` +
          `its version is ${stored.Version.Index}, not ${object.Version.Index}`,
      );
    }
    const { version, time } = this.#stamp;
    const kept = SHARED_TABLES.has(table) ? withSpecSince(object, stored) : object;
    const stamped = { ...kept, Version: { Index: version }, CreatedAt: stored.CreatedAt, UpdatedAt: time };
    this.#checkUnique("update", table, stamped);
    this.#stamp.seal(stamped);
    this.#undos.push(rows.trySet(row, stamped));
    this.writes.add({ action: "update", table, object: stamped });
  }

  delete(table: TableName, id: string): void {
    const rows = this.#writable(table);
    const stored = rows.get(id);
    if (stored === undefined) {
      throw new CoveyError("not_found", `Cannot delete ${table} ${id}: it does not exist`);
    }
    this.#undos.push(rows.tryRemove(id));
    this.writes.add({ action: "remove", table, object: stored });
  }

  /** Ends the transaction: a callback that kept it can no longer write. */
  close(): void {
    this.#open = false;
  }

  /** Takes back all changes. Transactions that came later must have been taken back before. */
  rollback(): void {
    for (let undo = this.#undos.pop(); undo !== undefined; undo = this.#undos.pop()) undo();
  }

  #writable(table: TableName): Table<Meta> {
    if (!this.#open) throw new CoveyError("internal", "Cannot write: the transaction has ended");
    return anyTable(this.#tables, table);
  }

  #checkUnique(verb: string, table: TableName, object: Meta): void {
    const index = anyTable(this.#tables, table).clash(object);
    if (index === undefined) return;
    throw new CoveyError("already_exists", `Cannot ${verb} ${table} ${object.ID}: its ${index} is in use`);
  }
}

/** Writes in order, repeated writes of one object made one. */
export class WriteList {
  readonly #writes: (Write | undefined)[] = [];
  /** Where an object's last write is, by table and ID; most lists have one write, which needs no map. */
  #last: Map<TableName, Map<string, number>> | undefined;
  #size = 0;

  /** Number of writes. */
  get size(): number {
    return this.#size;
  }

  add(write: Write): void {
    const at = this.#writes.length === 0 ? undefined : this.#index(write.table).get(write.object.ID);
    const before = at === undefined ? undefined : this.#writes[at];
    if (at === undefined || before === undefined || before.action === "remove") {
      this.#writes.push(write);
      this.#size++;
      if (this.#last) this.#note(this.#writes.length - 1);
    } else if (write.action === "update") {
      // Not its bytes: they say "update".
      const { table, object } = write;
      this.#writes[at] = before.action === "create" ? { action: "create", table, object } : write;
    } else {
      this.#writes[at] = before.action === "create" ? undefined : write;
      if (before.action === "create") this.#size--;
    }
  }

  #index(table: TableName): Map<string, number> {
    if (this.#last === undefined) {
      this.#last = new Map();
      this.#note(0);
    }
    let ids = this.#last.get(table);
    if (ids === undefined) this.#last.set(table, ids = new Map());
    return ids;
  }

  #note(at: number): void {
    const { table, object } = this.#writes[at]!;
    this.#index(table).set(object.ID, at);
  }

  *[Symbol.iterator](): Iterator<Write> {
    for (const write of this.#writes) if (write !== undefined) yield write;
  }
}
