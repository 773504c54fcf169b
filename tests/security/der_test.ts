import assert from "node:assert/strict";
import fc from "fast-check";
import { CoveyError } from "../../api/errors.ts";
import { readElement, readElements } from "../../security/der_reader.ts";
import {
  concatBytes,
  element,
  integer,
  objectIdentifier,
  sequence,
  TAG,
  time,
} from "../../security/der_writer.ts";

Deno.test("DER: what is written is read back, whatever its length", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 70_000, size: "max" }), { maxLength: 5 }), (bodies) => {
      const encoded = sequence(...bodies.map((body) => element(TAG.octetString, body)));
      const inner = readElements(readElement(encoded, TAG.sequence).body);
      assert.deepEqual(inner.map((each) => each.body.toHex()), bodies.map((body) => body.toHex()));
      assert.deepEqual(
        concatBytes(...inner.map((each) => each.raw)).length,
        readElement(encoded, 0x30).body.length,
      );
    }),
    { numRuns: 50 },
  );
});

Deno.test("DER: integers are minimal and positive, identifiers and times as X.690 spells them", () => {
  const hex = (bytes: Uint8Array) => bytes.toHex();
  assert.equal(hex(integer(Uint8Array.of(0, 0, 0x7f))), "02017f");
  assert.equal(hex(integer(Uint8Array.of(0, 0x80))), "02020080");
  assert.equal(hex(integer(Uint8Array.of())), "020100");
  assert.equal(hex(objectIdentifier("1.2.840.10045.4.3.2")), "06082a8648ce3d040302");
  assert.equal(new TextDecoder().decode(time(Date.UTC(2026, 0, 2, 3, 4, 5)).subarray(2)), "260102030405Z");
  assert.equal(new TextDecoder().decode(time(Date.UTC(2050, 0, 2, 3, 4, 5)).subarray(2)), "20500102030405Z");
});

for (
  const [what, hex, message] of [
    ["indefinite length", "3080", /takes 0 bytes/],
    ["length of length over 3", "308400000001", /takes 4 bytes/],
    ["length that is not minimal", "30810100", /not minimal/],
    ["length with a leading zero", "30820080", /not minimal/],
    ["truncated length", "3082", /ends inside a length/],
    ["missing length", "30", /ends inside a length/],
    ["truncated contents", "300500", /5 bytes ends after 1/],
    ["multi-byte tag", "1f0100", /multi-byte tags/],
    ["more elements than any certificate has", "0500".repeat(257), /more than 256/],
  ] as const
) {
  Deno.test(`DER: refuses ${what}`, () => {
    assert.throws(
      () => readElements(Uint8Array.fromHex(hex)),
      (e) => e instanceof CoveyError && e.code === "invalid_argument" && message.test(e.message),
    );
  });
}
