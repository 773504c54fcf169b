/**
 * The replicated state: applies entries to the tables, remembers what is dirty, and turns itself into
 * records and back.
 */
import { CoveyError, hasCode } from "../../api/errors.ts";
import type { Meta } from "../../api/objects.ts";
import type { DirtyRecord, StateRecord } from "../consensus/state_machine.ts";
import {
  decodeEntry,
  decodeRecord,
  decodeVersion,
  encodeRecord,
  type EntryChange,
  parseKey,
  recordKey,
  type StoreEntry,
  VERSION_KEY,
  versionRecord,
  type Write,
} from "./entry.ts";
import { ObjectReader } from "./object_reader.ts";
import type { Change, Commit } from "./store.ts";
import { withObjects } from "./unreadable.ts";
import { TABLE_NAMES, type TableName } from "./tables.ts";
import { anyTable, type TableSet } from "./transaction.ts";

/**
 * A created object's order is `index * MAX_ENTRY_CHANGES + position`, so that every member and every replay
 * finds the same.
 */
const MAX_ENTRY_CHANGES = 2 ** 16;

/** What the proposer hands to its own state machine in place of the bytes. */
export interface LocalEntry {
  version: number;
  writes: readonly Write[];
}

/** IDs of objects that changed, by table. */
type DirtyIDs = { readonly [T in TableName]: Set<string> };

function noRecords(): DirtyIDs {
  return Object.fromEntries(TABLE_NAMES.map((name) => [name, new Set<string>()])) as unknown as DirtyIDs;
}

/** The state of a store as consensus sees it. */
export class State {
  readonly #tables: TableSet;
  readonly #reader = new ObjectReader();
  #dirty = noRecords();
  #index = 0;
  #version = 0;

  constructor(tables: TableSet) {
    this.#tables = tables;
  }

  /** Index of the last applied entry. */
  get index(): number {
    return this.#index;
  }

  /** Highest `Version.Index` in the state, deleted objects included. */
  get version(): number {
    return this.#version;
  }

  /** Why {@linkcode apply} would refuse these bytes, naming the objects. */
  unreadable(bytes: Uint8Array): Error | undefined {
    try {
      this.#decode(bytes);
    } catch (thrown) {
      return thrown as Error;
    }
  }

  apply(index: number, bytes: Uint8Array, local?: unknown): Commit {
    const entry = local === undefined ? this.#decode(bytes) : fromLocal(local as LocalEntry);
    const changes: Change[] = [];
    for (const [position, change] of entry.changes.entries()) {
      const made = this.#applyChange(change, index * MAX_ENTRY_CHANGES + position);
      if (made !== undefined) changes.push(made);
      this.#dirty[change.table].add(change.id);
    }
    this.#version = Math.max(this.#version, entry.version);
    this.#index = index;
    return { index, changes };
  }

  /** Begins a state in `tables`, which are empty. Adopting it replaces everything; the commit is the difference if somebody watches. */
  draft(
    tables: TableSet,
  ): { add(record: DirtyRecord): void; adopt(index: number, watched: boolean): Commit } {
    let version = 0;
    const add = ({ key, value }: DirtyRecord) => {
      if (key === VERSION_KEY) {
        return void (version = Math.max(version, decodeVersion(value!, this.#reader)));
      }
      const { name, id } = parseKey(key);
      const table = anyTable(tables, name);
      if (value !== undefined) {
        const { order, object } = decodeRecord(value, this.#reader);
        table.put(object, order);
      } else if (table.get(id) !== undefined) table.remove(id);
    };
    return {
      add: (record) => {
        try {
          add(record);
        } catch (cause) {
          if (!hasCode(cause, "data_loss")) throw cause;
          const message = `Cannot read record ${record.key} of the state: ${cause.message}`;
          throw new CoveyError("data_loss", message, { cause });
        }
      },
      adopt: (index, watched) => {
        const compared = watched ? TABLE_NAMES : [];
        const before = compared.map((name) => [name, anyTable(this.#tables, name).all()] as const);
        for (const name of TABLE_NAMES) anyTable(this.#tables, name).adopt(anyTable(tables, name));
        this.#version = Math.max(this.#version, version);
        this.#index = index;
        this.#dirty = noRecords();
        return { index, changes: this.#difference(before) };
      },
    };
  }

  /** Objects never change, so holding on to them is an image of this moment; each is encoded when its turn comes. */
  records(): Iterable<StateRecord> {
    const images = TABLE_NAMES.map((name) => ({ name, ...anyTable(this.#tables, name).image() }));
    const version = this.#version;
    return {
      *[Symbol.iterator]() {
        yield versionRecord(version);
        for (const { name, objects, orders } of images) {
          for (const [nth, object] of objects.entries()) {
            yield { key: recordKey(name, object.ID), value: encodeRecord(orders[nth]!, object) };
          }
        }
      },
    };
  }

  takeDirty(): Iterable<DirtyRecord> {
    const dirty = this.#dirty;
    this.#dirty = noRecords();
    return this.#recordsOf(dirty);
  }

  /** As they are now, whatever is applied while they are read: see {@linkcode records}. */
  #recordsOf(dirty: DirtyIDs): Iterable<DirtyRecord> {
    const version = this.#version;
    const taken = TABLE_NAMES.flatMap((name) => {
      const table = anyTable(this.#tables, name);
      return Array.from(dirty[name], (id) => [name, id, table.order(id), table.get(id)] as const);
    });
    return {
      *[Symbol.iterator]() {
        if (taken.length > 0) yield versionRecord(version);
        for (const [name, id, order, object] of taken) {
          yield { key: recordKey(name, id), value: object && encodeRecord(order!, object) };
        }
      },
    };
  }

  #decode(bytes: Uint8Array): StoreEntry {
    try {
      return decodeEntry(bytes, this.#reader);
    } catch (thrown) {
      throw withObjects(thrown, bytes, this.#reader);
    }
  }

  /** An entry may meet a state that has it already, so a change says what to reach, not what was there. */
  #applyChange({ action, table: name, id, object }: EntryChange, order: number): Change | undefined {
    const table = anyTable(this.#tables, name), row = table.live(id), old = row?.object;
    if (object === undefined) {
      return old && change("remove", name, table.remove(id), old);
    }
    if (row === undefined) {
      table.insert(object, order);
      return change("create", name, object, undefined);
    }
    if (action === "update") table.set(row, object);
    else {
      table.remove(id);
      table.insert(object, order);
    }
    return change("update", name, object, old);
  }

  #difference(before: (readonly [TableName, Meta[]])[]): Change[] {
    const changes: Change[] = [];
    for (const [name, objects] of before) {
      const table = anyTable(this.#tables, name);
      const known = new Map(objects.map((object) => [object.ID, object]));
      for (const object of objects) {
        if (table.get(object.ID) === undefined) changes.push(change("remove", name, object, object));
      }
      for (const object of table.all()) {
        const old = known.get(object.ID);
        if (old === undefined) changes.push(change("create", name, object, undefined));
        else if (old.Version.Index !== object.Version.Index) {
          changes.push(change("update", name, object, old));
        }
      }
    }
    return changes;
  }
}

function change(action: Change["action"], table: TableName, object: Meta, old: Meta | undefined): Change {
  return { action, table, object, ...(old && { old }) } as Change;
}

function fromLocal({ version, writes }: LocalEntry): StoreEntry {
  const changes = writes.map(({ action, table, object }) => ({
    action,
    table,
    id: object.ID,
    object: action === "remove" ? undefined : object,
  }));
  return { version, changes };
}
