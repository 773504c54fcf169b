import { deepStrictEqual, doesNotThrow, strictEqual, throws } from "node:assert/strict";
import fc from "fast-check";
import type { Meta } from "../../../api/objects.ts";
import {
  decodeEntry,
  decodeRecord,
  encodedWrite,
  encodeRecord,
  joinEntry,
  type Write,
} from "../../../manager/store/entry.ts";
import { ObjectReader } from "../../../manager/store/object_reader.ts";
import { MAX_VALUE_DEPTH } from "../../../transport/limits.ts";

/** Text of any UTF-16 units. */
function units(maxLength: number): fc.Arbitrary<string> {
  return fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength })
    .map((codes) => String.fromCharCode(...codes));
}

/** Anything that code can hold, whether it can be written or not. */
const anything = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, depthSize: "small" },
    fc.string({ unit: "binary", maxLength: 90 }),
    units(90),
    fc.constantFrom("__proto__", "constructor", "\ud800", "a".repeat(70) + "\udfff", "\u202e"),
    fc.integer(),
    fc.double(),
    fc.constantFrom(2 ** 53, 2 ** 63, -(2 ** 64), Number.MAX_VALUE, NaN, -Infinity),
    fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }),
    fc.constantFrom<unknown>(undefined, null, true, false, Symbol("s"), () => 1, new Date(0), new Map(), /x/),
    fc.uint8Array({ maxLength: 20 }),
    fc.array(tie("value"), { maxLength: 5 }),
    fc.dictionary(units(12), tie("value"), { maxKeys: 5, noNullPrototype: true }),
    // A class that looks like plain data, and a key that is an object's prototype elsewhere.
    fc.constantFrom<unknown>(
      new Error("x"),
      Object.create({ a: 1 }),
      JSON.parse('{"__proto__":{"a":1}}'),
      new Float64Array(2),
    ),
  ),
})).value;

/** What the bytes stand for: fields without a value are not there. */
function plain(value: unknown): unknown {
  if (Object.is(value, -0)) return 0;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  return Object.fromEntries(fields.map(([name, field]) => [name, plain(field)]));
}

function nested(levels: number): unknown {
  let value: unknown = "deep";
  for (let level = 0; level < levels; level++) value = level % 2 === 0 ? [value] : { value };
  return value;
}

function writeOf(value: unknown): Write {
  return {
    action: "update",
    table: "tasks",
    object: { ID: "t", Spec: value, Other: value } as unknown as Meta,
  };
}

function runs(): number {
  return Number(Deno.env.get("COVEY_PROPERTY_RUNS") ?? 2000);
}

Deno.test("Entry: whatever is written is read back as it was, by followers, restarts and checkpoints alike", () => {
  const reader = new ObjectReader();
  let written = 0;
  fc.assert(
    fc.property(anything, (value) => {
      const write = writeOf(value);
      let bytes: Uint8Array;
      try {
        bytes = encodedWrite(write);
      } catch (thrown) {
        strictEqual((thrown as { code?: string }).code, "invalid_argument");
        return;
      }
      written++;
      const { version, changes: [change] } = decodeEntry(joinEntry(7, [bytes]), reader);
      const wanted = plain(write.object);
      deepStrictEqual({ version, change }, {
        version: 7,
        change: { action: "update", table: "tasks", id: "t", object: wanted },
      });
      // And what was read can be written again, by every one that has read it.
      const record = encodeRecord(3, change!.object!);
      deepStrictEqual(decodeRecord(record, reader), { order: 3, object: wanted });
      doesNotThrow(() => encodedWrite({ action: "create", table: "tasks", object: change!.object! }));
    }),
    { numRuns: runs() },
  );
  strictEqual(written > runs() / 4, true, `${written} values could be written`);
});

Deno.test("Entry: whatever bytes hold, what can be read of them can be written again", () => {
  const reader = new ObjectReader();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (tail) => {
      // {"ID": "t", "x": …}
      const bytes = Uint8Array.from([0x82, 0x01, 0xa2, 0x62, 0x49, 0x44, 0x61, 0x74, 0x61, 0x78, ...tail]);
      let record;
      try {
        record = decodeRecord(bytes, reader);
      } catch (thrown) {
        strictEqual((thrown as { code?: string }).code, "data_loss");
        return;
      }
      deepStrictEqual(decodeRecord(encodeRecord(record.order, record.object), reader), plain(record));
    }),
    { numRuns: 5000 },
  );
});

Deno.test("Entry: is refused as deep as its reader refuses it, and not before", () => {
  const reader = new ObjectReader();
  let deepest = 0;
  for (let levels = 50; levels < 70; levels++) {
    try {
      const entry = joinEntry(1, [encodedWrite(writeOf(nested(levels)))]);
      decodeEntry(entry, reader);
      deepest = levels;
    } catch (thrown) {
      strictEqual((thrown as { code?: string }).code, "invalid_argument", `${levels} levels`);
    }
  }
  // 64 less the entry's array, the change and the object.
  strictEqual(deepest, 61);
});

Deno.test("Entry: a write that could not be read back names its object and what is wrong", () => {
  throws(() => encodedWrite(writeOf({ PID: -(2n ** 64n) })), {
    code: "invalid_argument",
    message: /^Cannot write tasks t: .*bigint/,
  });
  throws(() => encodedWrite(writeOf("\ud800")), /half of a surrogate pair/);
});

Deno.test("Entry: an object's bytes are the same whether its spec was written before or not", () => {
  // A field of that name is refused.
  const plain = fc.jsonValue({ maxDepth: 3 }).filter((value) =>
    typeof value === "object" && value !== null && !JSON.stringify(value).includes('"__proto__"')
  );
  fc.assert(fc.property(plain, fc.array(fc.string(), { minLength: 2, maxLength: 4 }), (Spec, ids) => {
    const write = (ID: string, spec: unknown): Write => ({
      action: "update",
      table: "tasks",
      object: { ID, Version: { Index: 1 }, CreatedAt: "", UpdatedAt: "", Spec: spec } as Meta,
    });
    for (const id of ids) {
      deepStrictEqual(encodedWrite(write(id, Spec)), encodedWrite(write(id, structuredClone(Spec))));
    }
  }));
});

Deno.test("Entry: a spec that may stand in a record is refused where it stands a level deeper", () => {
  // A record has it two levels deep, an entry three.
  let Spec: unknown = {};
  for (let depth = 1; depth < MAX_VALUE_DEPTH - 2; depth++) Spec = { Spec };
  const object = { ID: "t", Version: { Index: 1 }, CreatedAt: "", UpdatedAt: "", Spec } as Meta;
  doesNotThrow(() => encodeRecord(1, object));
  throws(() => encodedWrite({ action: "update", table: "tasks", object }), /nested deeper/);
});
