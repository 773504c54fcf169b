import assert from "node:assert/strict";
import { Encoder } from "cbor-x/index-no-eval";
import fc from "fast-check";
import { frameDecoder } from "../../transport/cbor_decode.ts";
import { encodeValue } from "../../transport/cbor_encode.ts";

const decodeValue = (bytes: Uint8Array) => frameDecoder().read(bytes);

/** Another implementation, set to the same subset. */
const other = new Encoder({
  useRecords: false,
  mapsAsObjects: true,
  variableMapSize: true,
  tagUint8Array: false,
  copyBuffers: true,
});

const text = fc.oneof(
  fc.string({ unit: "grapheme" }),
  fc.string({ unit: "binary", maxLength: 300 }),
  // Around every length at which the head grows, in ASCII and with more bytes than units.
  fc.tuple(
    fc.constantFrom(23, 24, 62, 63, 64, 85, 86, 255, 256, 65_535, 65_536),
    fc.constantFrom("a", "ü", "語"),
  )
    .map(([length, unit]) => unit.repeat(length)),
);

const value = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    text,
    fc.integer(),
    fc.integer({ min: -300, max: 300 }),
    fc.maxSafeInteger(),
    fc.integer({ min: -(2 ** 32), max: 2 ** 32 - 1 }),
    fc.double(),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
    fc.boolean(),
    fc.constant(null),
    fc.constant(undefined),
    fc.uint8Array({ maxLength: 300 }),
    fc.array(tie("value"), { maxLength: 30 }),
    fc.dictionary(text.filter((key) => key !== "__proto__"), tie("value"), { noNullPrototype: true }),
  ),
})).value;

/** What `undefined` in a field, and in a number -0, become on the wire. */
function onWire(plain: unknown): unknown {
  if (Object.is(plain, -0)) return 0;
  if (Array.isArray(plain)) return plain.map(onWire);
  if (typeof plain !== "object" || plain === null || plain instanceof Uint8Array) return plain;
  return Object.fromEntries(
    Object.entries(plain).filter(([, field]) => field !== undefined).map((
      [key, field],
    ) => [key, onWire(field)]),
  );
}

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g)!.map((byte) => parseInt(byte, 16)));
}

Deno.test("CBOR: every value has the bytes that another implementation gives it, and both read them alike", () => {
  fc.assert(
    fc.property(value, (plain) => {
      const wire = onWire(plain), bytes = encodeValue(plain);
      assert.deepEqual([...bytes], [...other.encode(wire)]);
      assert.deepEqual(decodeValue(bytes), wire);
      assert.deepEqual(other.decode(bytes), wire);
    }),
    { numRuns: 1000 },
  );
});

Deno.test("CBOR: the examples of RFC 8949 are read as it says, heads longer than needed too", () => {
  const examples: [string, unknown][] = [
    ["00", 0],
    ["1817", 23],
    ["190018", 24],
    ["1a000f4240", 1_000_000],
    ["1bffffffffffffffff", 18446744073709551615n],
    ["3bffffffffffffffff", -18446744073709551616n],
    ["3903e7", -1000],
    ["3affffffff", -(2 ** 32)],
    ["f93c00", 1],
    ["f98000", -0],
    ["f90001", 5.960464477539063e-8],
    ["f90400", 0.00006103515625],
    ["f97bff", 65504],
    ["f9c400", -4],
    ["f97c00", Infinity],
    ["f9fc00", -Infinity],
    ["f97e00", NaN],
    ["fa47c35000", 100_000],
    ["fb3ff199999999999a", 1.1],
    ["f7", undefined],
    ["7900026161", "aa"],
    ["64f0908591", "𐅑"],
    ["83010203", [1, 2, 3]],
    ["a26161016162820203", { a: 1, b: [2, 3] }],
  ];
  for (const [hex, expected] of examples) assert.deepEqual(decodeValue(bytesOf(hex)), expected, hex);
});

Deno.test("CBOR: half a surrogate pair is sent as the replacement character, so that no peer refuses the text", () => {
  for (const filler of ["", "a".repeat(100)]) {
    assert.equal(decodeValue(encodeValue(`${filler}\ud800b`)), `${filler}\ufffdb`);
  }
});

Deno.test("CBOR: a byte order mark is text like any other", () => {
  for (const each of ["\ufeffa", `\ufeff${"a".repeat(200)}`]) {
    assert.equal(decodeValue(encodeValue(each)), each);
  }
});

Deno.test("CBOR: what was written stays as it is while more is written, and after a value that is refused", () => {
  const values = Array.from({ length: 200 }, (_, i) => [i, "x".repeat((i * 37) % 9000)]);
  const written = values.map((each) => {
    assert.throws(() => encodeValue([each, () => {}]), { code: "invalid_argument" });
    return encodeValue(each);
  });
  assert.deepEqual(written.map(decodeValue), values);
});

Deno.test("CBOR: names of fields that look alike are not taken for one another", () => {
  // First and last character and length are the same; bytes of the second's are not ASCII.
  const names = ["aXb", "aYb", "aüb", "a\u00fb", "a\u00fc", "aXYb", "", "a", "b"];
  for (let round = 0; round < 3; round++) {
    for (const name of names) assert.deepEqual(decodeValue(encodeValue({ [name]: 1 })), { [name]: 1 });
  }
});

Deno.test("CBOR: a field named __proto__ is refused, not taken for the object's class", () => {
  const bytes = encodeValue({ __proto_x: {} }).slice();
  bytes[bytes.indexOf("x".charCodeAt(0))] = "_".charCodeAt(0);
  assert.throws(() => decodeValue(bytes), { code: "invalid_argument", message: /named "__proto__"/ });
});
