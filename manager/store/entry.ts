/**
 * The bytes of a log entry and of a stored record.
 *
 * Entry: the CBOR array `[version, change…]`; `version` is the highest `Version.Index` that it stamps, a
 * change is `{a: "c" | "u" | "r", t: table, o: the whole object, or its ID for "r"}`. Objects, not
 * commands: applying one twice is harmless. Record of an object: the key `table/ID`, the CBOR array
 * `[order, object]`.
 */
import { CoveyError } from "../../api/errors.ts";
import type { Meta } from "../../api/objects.ts";
import { CBORWriter } from "../../transport/mod.ts";
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

/**
 * It takes what {@linkcode ObjectReader} gives back as it was, and nothing else: whatever was encoded can be read by every
 * manager, for ever. A property of `tests/manager/store/entry_test.ts`, which is why nothing is decoded again here.
 */
const cbor = new CBORWriter({ exact: true, shared: new Set(["Spec", "ServiceAnnotations"]) });
const ACTIONS = { create: "c", update: "u", remove: "r" } as const;
const ACTION_NAMES = new Map<unknown, Write["action"]>([["c", "create"], ["u", "update"], ["r", "remove"]]);
/** Levels of an entry above a change: the array. */
const CHANGE_DEPTH = 1;

/** The bytes of one change. Throws `invalid_argument` for an object that could not be read back. */
export function encodedWrite(write: Write): Uint8Array {
  return write.encoded ??= encodeWrite(write);
}

function encodeWrite({ action, table, object }: Write): Uint8Array {
  try {
    const payload = action === "remove" ? object.ID : object;
    return cbor.encode({ a: ACTIONS[action], t: table, o: payload }, CHANGE_DEPTH);
  } catch (cause) {
    const why = (cause as Error).message;
    throw new CoveyError("invalid_argument", `Cannot write ${table} ${object.ID}: ${why}`, { cause });
  }
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

/**
 * Reads an entry back. Throws `data_loss` on bytes that are none, and `unimplemented` on a change that only another version
 * knows.
 */
export function decodeEntry(entry: Uint8Array, reader: ObjectReader): StoreEntry {
  const whole = reader.read(entry);
  if (!Array.isArray(whole) || typeof whole[0] !== "number") {
    throw new CoveyError("data_loss", "Cannot read the state: an entry is not one");
  }
  return { version: whole[0], changes: whole.slice(1).map(asChange) };
}

function asChange(value: unknown): EntryChange {
  const { a, t, o } = (value ?? {}) as { a: unknown; t: TableName; o: Meta | string | null };
  const action = ACTION_NAMES.get(a);
  if (action === undefined || !TABLE_NAMES.includes(t)) {
    throw new CoveyError(
      "unimplemented",
      `Cannot read change ${a} of ${t}: this version does not know it, a newer one may`,
    );
  }
  if (typeof o === "string") return { action, table: t, id: o, object: undefined };
  if (typeof o?.ID === "string") return { action, table: t, id: o.ID, object: o };
  throw new CoveyError("data_loss", `Cannot read the state: a change of ${t} has no object`);
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

/** Reads the record value of an object. Throws `data_loss` on bytes that are none. */
export function decodeRecord(value: Uint8Array, reader: ObjectReader): ObjectRecord {
  const [order, object] = reader.read(value) as [number, Meta | null];
  if (typeof order === "number" && typeof object?.ID === "string") return { order, object };
  throw new CoveyError("data_loss", "Cannot read the state: a record has no object");
}

/** Reads the record value of the version counter. Throws `data_loss` on bytes that are none. */
export function decodeVersion(value: Uint8Array, reader: ObjectReader): number {
  const version = reader.read(value);
  if (typeof version === "number") return version;
  throw new CoveyError("data_loss", "Cannot read the state: its version is no number");
}

function arrayHeader(length: number): number[] {
  if (length < 24) return [0x80 | length];
  if (length < 0x1_00) return [0x98, length];
  if (length < 0x1_0000) return [0x99, length >> 8, length & 0xff];
  return [0x9a, length >>> 24, (length >> 16) & 0xff, (length >> 8) & 0xff, length & 0xff];
}
