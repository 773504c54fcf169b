/**
 * The bytes of a log entry and of a stored record.
 *
 * Entry: the CBOR array `[version, change…]`; `version` is the highest `Version.Index` that it stamps, a
 * change is `{a: "c" | "u" | "r", t: table, o: the whole object, or its ID for "r"}`. Objects, not
 * commands: applying one twice is harmless. Record of an object: the key `table/ID`, the CBOR array
 * `[order, object]`.
 */
import { Encoder } from "cbor-x/index-no-eval";
import type { Meta } from "../../api/objects.ts";
import type { StateRecord } from "../consensus/state_machine.ts";
import type { ObjectReader } from "./object_reader.ts";
import { TABLE_NAMES, type TableName } from "./tables.ts";

/** One written object. `object` is the whole new object, or the last one for a removal. */
export interface Write {
  action: "create" | "update" | "remove";
  table: TableName;
  object: Meta;
  /** Its bytes, once somebody asked for them. */
  encoded?: Uint8Array;
}

/** A decoded change; `object` is missing for a removal. */
export interface EntryChange {
  action: Write["action"];
  table: TableName;
  id: string;
  object: Meta | undefined;
}

/** A decoded entry. */
export interface StoreEntry {
  version: number;
  changes: EntryChange[];
}

/** A decoded record of an object. */
export interface ObjectRecord {
  order: number;
  object: Meta;
}

/** Bytes that the frame of an entry takes at most: array header and version. */
export const ENTRY_OVERHEAD_BYTES = 16;

const cbor = new Encoder({ useRecords: false, mapsAsObjects: true, variableMapSize: true });
const ACTIONS = { create: "c", update: "u", remove: "r" } as const;
const ACTION_NAMES: Record<string, Write["action"]> = { c: "create", u: "update", r: "remove" };

/** The bytes of one change. */
export function encodedWrite(write: Write): Uint8Array {
  const payload = write.action === "remove" ? write.object.ID : write.object;
  return write.encoded ??= cbor.encode({ a: ACTIONS[write.action], t: write.table, o: payload });
}

/** Puts encoded changes together without encoding them again. */
export function joinEntry(version: number, writes: readonly Uint8Array[]): Uint8Array {
  const head = [...arrayHeader(writes.length + 1), ...cbor.encode(version)];
  const entry = new Uint8Array(writes.reduce((sum, part) => sum + part.length, head.length));
  entry.set(head);
  let offset = head.length;
  for (const part of writes) {
    entry.set(part, offset);
    offset += part.length;
  }
  return entry;
}

/** Reads an entry back. Throws on bytes that are none. */
export function decodeEntry(entry: Uint8Array, reader: ObjectReader): StoreEntry {
  const [version, ...changes] = reader.read(entry) as [
    number,
    ...{ a: string; t: TableName; o: Meta | string }[],
  ];
  return {
    version,
    changes: changes.map(({ a, t, o }) => {
      const action = ACTION_NAMES[a];
      if (action === undefined || !TABLE_NAMES.includes(t)) {
        throw new TypeError(`Cannot read change ${a} of ${t}`);
      }
      return typeof o === "string"
        ? { action, table: t, id: o, object: undefined }
        : { action, table: t, id: o.ID, object: o };
    }),
  };
}

/** The key of an object's record. */
export function recordKey(table: TableName, id: string): string {
  return `${table}/${id}`;
}

/** The key of the record that holds the version counter. */
export const VERSION_KEY = "version";

/** The record value of an object. */
export function encodeRecord(order: number, object: Meta): Uint8Array {
  return cbor.encode([order, object]);
}

/** The record of the version counter. */
export function versionRecord(version: number): StateRecord {
  return { key: VERSION_KEY, value: cbor.encode(version) };
}

/** What {@linkcode recordKey} was made of. */
export function parseKey(key: string): { name: TableName; id: string } {
  const slash = key.indexOf("/");
  return { name: key.slice(0, slash) as TableName, id: key.slice(slash + 1) };
}

/** Reads the record value of an object. Throws on bytes that are none. */
export function decodeRecord(value: Uint8Array, reader: ObjectReader): ObjectRecord {
  const [order, object] = reader.read(value) as [number, Meta];
  return { order, object };
}

/** Reads the record value of the version counter. */
export function decodeVersion(value: Uint8Array, reader: ObjectReader): number {
  return reader.read(value) as number;
}

function arrayHeader(length: number): number[] {
  if (length < 24) return [0x80 | length];
  if (length < 0x1_00) return [0x98, length];
  if (length < 0x1_0000) return [0x99, length >> 8, length & 0xff];
  return [0x9a, length >>> 24, (length >> 16) & 0xff, (length >> 8) & 0xff, length & 0xff];
}
