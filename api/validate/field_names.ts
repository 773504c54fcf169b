/** Which field a key of an object means: clients rely on Go's decoder, which takes keys in any case. */

/** The known names by their folded form. */
export type FieldNames = ReadonlyMap<string, string>;

/** For {@linkcode fieldsOf}. */
export function fieldNames(names: readonly string[]): FieldNames {
  return new Map(names.map((name) => [name.toLowerCase(), name]));
}

/**
 * The members of `value` that are known, under their own names. Of several that mean one field the last counts, and objects
 * among them are laid over each other; `null` says nothing.
 */
export function fieldsOf(value: Record<string, unknown>, names: FieldNames): Map<string, unknown> {
  const found = new Map<string, unknown>();
  for (const key of Object.keys(value)) {
    const name = names.get(key.toLowerCase()), field = value[key];
    if (name === undefined || field === undefined || field === null) continue;
    const before = found.get(name);
    found.set(name, isPlain(before) && isPlain(field) ? { ...before, ...field } : field);
  }
  return found;
}

/** As {@linkcode fieldsOf}; what is no object has no members. */
export function fieldsOfBody(body: unknown, names: FieldNames): Map<string, unknown> {
  return isPlain(body) ? fieldsOf(body, names) : new Map();
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
