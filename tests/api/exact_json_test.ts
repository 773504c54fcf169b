import assert from "node:assert/strict";
import fc from "fast-check";
import { parseExact, stringifyExact } from "../../api/exact_json.ts";

Deno.test("Exact JSON: reads what JSON.parse reads, and keeps each digit of a whole number", () => {
  fc.assert(fc.property(fc.jsonValue(), (value) => {
    assert.deepEqual(parseExact(JSON.stringify(value)), JSON.parse(JSON.stringify(value)));
  }));
  fc.assert(fc.property(fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n }), (whole) => {
    const [read] = parseExact(`[${whole}]`) as [number | bigint];
    assert.equal(String(read), String(whole));
  }));
});

Deno.test("Exact JSON: digits in texts and fractions are left alone, broken JSON throws", () => {
  const text =
    '{"a":"12345678901234567890","b":1234567890.12345678901,"c":1e400,"__proto__":9007199254740993}';
  const read = parseExact(text) as Record<string, unknown>;
  assert.deepEqual(Object.values(read), [
    "12345678901234567890",
    1234567890.1234567,
    Infinity,
    9007199254740993n,
  ]);
  assert.equal(Object.getPrototypeOf(read), Object.prototype);
  assert.throws(() => parseExact('{"a":12345678901234567'), SyntaxError);
});

Deno.test("Exact JSON: what was read is written with the same digits", () => {
  const text = '{"a":[18446744073709551616,-9007199254740993,1.5,"2"],"b":{"c":7,"d":null}}';
  assert.equal(stringifyExact(parseExact(text)), text);
});
