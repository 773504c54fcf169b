import assert from "node:assert/strict";
import fc from "fast-check";
import { CoveyError } from "../../api/errors.ts";
import { DER } from "../../security/der.ts";

const der = await DER.load();

Deno.test("DER: what is written is read back, whatever its length", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 70_000, size: "max" }), { maxLength: 5 }), (bodies) => {
      const encoded = der.encode(der.sequence(...bodies.map((body) => der.bitString(body))));
      const inner = der.elements(der.decode(encoded)).map((each) => der.bitStringBytes(each).toHex());
      assert.deepEqual(inner, bodies.map((body) => body.toHex()));
    }),
    { numRuns: 20 },
  );
});

Deno.test("DER: identifiers, numbers and times are spelled as X.690 and RFC 5280 say", () => {
  const hex = (value: Parameters<DER["encode"]>[0]) => der.encode(value).toHex();
  const text = (value: Parameters<DER["encode"]>[0]) =>
    new TextDecoder().decode(der.encode(value).subarray(2));
  assert.equal(hex(der.integer(2)), "020102");
  assert.equal(hex(der.oid("1.2.840.10045.4.3.2")), "06082a8648ce3d040302");
  assert.equal(hex(der.utf8String("Ä")), "0c02c384");
  assert.equal(hex(der.context(0, [der.true()])), "a0030101ff");
  assert.equal(text(der.time(Date.UTC(2026, 0, 2, 3, 4, 5, 999))), "260102030405Z");
  assert.equal(text(der.time(Date.UTC(2049, 11, 31, 23, 59, 59, 999))), "491231235959Z");
  assert.equal(text(der.time(Date.UTC(2050, 0, 2, 3, 4, 5))), "20500102030405Z");
});

for (
  const [what, hex] of [
    ["an indefinite length", "30800000"],
    ["a length of four bytes without need", "308400000001"],
    ["a length that is not minimal", "30810100"],
    ["a length with a leading zero", "30820080" + "0500".repeat(64)],
    ["a truncated length", "3082"],
    ["a missing length", "30"],
    ["nothing at all", ""],
    ["truncated contents", "300500"],
    ["an integer with a leading zero", "300402020001"],
    ["a second value behind the first", "30000500"],
    ["values nested deeper than any certificate's", nested(300)],
  ] as const
) {
  Deno.test(`DER: refuses ${what}`, () => {
    assert.throws(
      () => der.decode(Uint8Array.fromHex(hex)),
      (e) => e instanceof CoveyError && e.code === "invalid_argument" && /^Cannot read DER: /.test(e.message),
    );
  });
}

/** SEQUENCEs in each other. */
function nested(depth: number): string {
  let value = der.sequence();
  for (let i = 0; i < depth; i++) value = der.sequence(value);
  return der.encode(value).toHex();
}

Deno.test("DER: bytes that it reads are those that it writes, so a value has one spelling", () => {
  const value = der.encode(der.sequence(der.integer(1), der.sequence(der.bitString(Uint8Array.of(1, 2, 3)))));
  fc.assert(fc.property(fc.nat(value.length - 1), fc.integer({ min: 0, max: 255 }), (at, byte) => {
    const mutated = Uint8Array.from(value);
    mutated[at] = byte;
    try {
      assert.deepEqual(der.encode(der.decode(mutated)), mutated);
    } catch (error) {
      assert.ok(error instanceof CoveyError && error.code === "invalid_argument");
    }
  }));
});
