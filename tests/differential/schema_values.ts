/** Values that fit Docker's description of its API, and what makes them odd or wrong. */
import fc, { type Arbitrary } from "fast-check";
import { type Json, type Schema, schemaOf } from "../manager/http/docker_schema.ts";
import { HINTS, LEFT_OUT, MUST_BE_THERE, NEVER_ALONE } from "./hints.ts";

/** Deepest nesting that is generated; the description of specs ends before. */
const MAX_DEPTH = 8;
/** Of all optional members, one in so many is there: most specs are short, and some reach every corner. */
const ONE_IN = { short: 4, long: 2 } as const;
type Length = keyof typeof ONE_IN;

/** Values of one of Docker's definitions, such as `ServiceSpec`; members that the description leaves open come from the hints. */
export function valuesOf(definition: string): Arbitrary<unknown> {
  const of = (length: Length) =>
    values({ $ref: `#/definitions/${definition}` }, { path: definition, depth: 0, length });
  return fc.oneof({ withCrossShrink: true }, { weight: 2, arbitrary: of("short") }, {
    weight: 1,
    arbitrary: of("long"),
  });
}

/** Where in a value we are. */
interface Place {
  path: string;
  depth: number;
  length: Length;
}

function values(schema: Schema, place: Place): Arbitrary<unknown> {
  const { path, depth } = place;
  const hint = HINTS.find(([pattern]) => pattern.test(path));
  if (hint !== undefined) return fc.constantFrom(...hint[1]);
  const whole = schemaOf(schema);
  if (whole.enum !== undefined) return fc.constantFrom(...whole.enum);
  switch (whole.type) {
    case "boolean":
      return fc.boolean();
    case "integer":
      return fc.constantFrom(0, 1, 2, 5, 1_000_000_000);
    case "number":
      return fc.constantFrom(0, 0.25, 1);
    case "array":
      return fc.array(values(whole.items ?? {}, { ...place, path: `${path}[]`, depth: depth + 1 }), {
        maxLength: 2,
      });
    case "object":
      if (depth >= MAX_DEPTH) return fc.constant({});
      return whole.properties ? members(whole.properties, place) : labels();
    default:
      return fc.constantFrom("a", "some", "");
  }
}

function labels(): Arbitrary<unknown> {
  return fc.dictionary(fc.constantFrom("a", "b", "c.d/e", ""), fc.constantFrom("1", "x y", ""), {
    maxKeys: 2,
  });
}

function members(properties: Record<string, Schema>, place: Place): Arbitrary<unknown> {
  const { path, depth, length } = place;
  const each = Object.entries(properties).filter(([key]) => !LEFT_OUT.test(`${path}.${key}`));
  const record = Object.fromEntries(each.map(([key, schema]) => {
    const at = `${path}.${key}`;
    const value = values(schema, { ...place, path: at, depth: depth + 1 });
    if (MUST_BE_THERE.test(at)) return [key, value];
    const absent = {
      weight: NEVER_ALONE.test(at) ? 40 : ONE_IN[length] - 1,
      arbitrary: fc.constant(undefined),
    };
    return [key, fc.oneof({ withCrossShrink: true }, absent, { weight: 1, arbitrary: value })];
  }));
  // Through text: what is undefined is not there.
  return fc.record(record).map((value) => JSON.parse(JSON.stringify(value)));
}

/** One change to a value that was right. */
interface Change {
  /** Which of its members, counted through the whole tree. */
  member: number;
  kind: "set" | "fold" | "raise" | "again" | "unknown" | "remove";
  value: unknown;
}

const ODD_VALUES = [
  ...[null, "", 0, -1, 1.5, true, "text", "10", [], {}, [null], { a: null }, { a: 1 }, ["a", "a"]],
  ...[2_147_483_648, 9_007_199_254_740_993n, 18_446_744_073_709_551_615n, 18_446_744_073_709_551_616n],
  ...["ACTIVE", " ", "a b", "ä", "{{.Node.Hostname}}", "{{.Nonsense}}"],
];

const changes = (maxLength: number): Arbitrary<Change[]> =>
  fc.array(
    fc.record({
      member: fc.nat(200),
      kind: fc.constantFrom<Change["kind"][]>(
        "set",
        "set",
        "set",
        "fold",
        "raise",
        "again",
        "unknown",
        "remove",
      ),
      value: fc.constantFrom(...ODD_VALUES),
    }),
    { maxLength },
  );

/** The JSON text of `valid` with up to two changes that a careless client could make, or one that is no such text at all. */
export function texts(valid: Arbitrary<unknown>): Arbitrary<string> {
  const right = valid.map(write);
  const odd = fc.tuple(valid, changes(2)).map(([value, changed]) => write(changed.reduce(change, value)));
  const broken = fc.oneof(
    fc.constantFrom("", "null", "[]", "{}", "{", '"text"', "1", "{}{}", "{} x"),
    right.map((text) => text.slice(0, -1)),
  );
  return fc.oneof(
    { withCrossShrink: true },
    { weight: 8, arbitrary: right },
    { weight: 8, arbitrary: odd },
    { weight: 1, arbitrary: broken },
  );
}

/** `value` as JSON; whole numbers of any size stay as they are. */
export function write(value: unknown): string {
  return JSON.stringify(value, (_key, each) => typeof each === "bigint" ? rawJSON(String(each)) : each);
}

/** TypeScript does not know it yet. */
const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };

/** Docker would really make as many tasks, and as many workers for an update: a billion of them take all of the memory. */
const MADE_ONE_BY_ONE = /^(?:replicas|parallelism|maxconcurrent|totalcompletions)$/i;
const MOST_AT_ONCE = 3;

/** As long as they stay nothing runs; what a container does is not what is compared. */
const KEEPS_IDLE = /^(?:placement|constraints)$/i;

function change(root: unknown, { member, kind, value: given }: Change): unknown {
  const copy = structuredClone(root);
  const places: [holder: Json, key: string][] = [];
  collect(copy, places);
  if (places.length === 0) return copy;
  const [holder, key] = places[member % places.length]!;
  const old = holder[key];
  if (KEEPS_IDLE.test(key) && kind !== "fold") return copy;
  const value = MADE_ONE_BY_ONE.test(key) && Number(given) > MOST_AT_ONCE ? MOST_AT_ONCE : given;
  switch (kind) {
    case "set":
      holder[key] = value;
      break;
    case "raise":
      holder[key] = typeof old === "string" ? old.toUpperCase() : value;
      break;
    case "remove":
      delete holder[key];
      break;
    case "unknown":
      if (!Array.isArray(holder)) holder.Nonsense = value;
      break;
    case "again":
      // Null after a value says nothing to us; Docker forgets the value if it was an object.
      if (!Array.isArray(holder) && value !== null) holder[key.toLowerCase()] = value;
      break;
    case "fold":
      if (Array.isArray(holder)) break;
      delete holder[key];
      holder[key.toLowerCase()] = old;
  }
  return copy;
}

function collect(value: unknown, places: [Json, string][]): void {
  if (typeof value !== "object" || value === null) return;
  for (const [key, each] of Object.entries(value)) {
    places.push([value as Json, key]);
    collect(each, places);
  }
}
