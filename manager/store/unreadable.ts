/** Says which objects an entry is about whose bytes the store's own reader refuses. */
import { Encoder } from "cbor-x/index-no-eval";
import { CoveyError } from "../../api/errors.ts";
import type { ObjectReader } from "./object_reader.ts";

/** A reader of all of CBOR. */
const cbor = new Encoder({ useRecords: false, mapsAsObjects: true, variableMapSize: true });
/** Objects that are named. */
const MAX_NAMED = 10;

/** `thrown`, with the objects that are the cause and those that share the entry. */
export function withObjects(thrown: unknown, entry: Uint8Array, reader: ObjectReader): unknown {
  const { code, message } = CoveyError.from(thrown);
  const changes = changesOf(entry);
  if (code !== "data_loss" || changes.length === 0) return thrown;
  const unreadable = changes.filter((change) => !canRead(cbor.encode(change), reader)).map(nameOf);
  const others = changes.length - unreadable.length;
  const text = `${message} in ${listed(unreadable)}` +
    (others > 0 ? ` (the entry writes ${others} more)` : "");
  return new CoveyError(code, text, { cause: thrown });
}

function changesOf(entry: Uint8Array): unknown[] {
  try {
    const whole: unknown = cbor.decode(entry);
    return Array.isArray(whole) ? whole.slice(1) : [];
  } catch {
    return [];
  }
}

function canRead(bytes: Uint8Array, reader: ObjectReader): boolean {
  try {
    reader.read(bytes);
    return true;
  } catch {
    return false;
  }
}

function nameOf(change: unknown): string {
  const { t, o } = Object(change) as { t?: unknown; o?: unknown };
  return `${t} ${typeof o === "string" ? o : Object(o).ID}`;
}

function listed(names: readonly string[]): string {
  const more = names.length - MAX_NAMED;
  return names.slice(0, MAX_NAMED).join(", ") + (more > 0 ? ` and ${more} more` : "");
}
