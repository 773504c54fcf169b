import assert from "node:assert/strict";
import { deepEqual } from "../../api/deep_equal.ts";

Deno.test("deepEqual: a key that every object has besides is told apart like any other", () => {
  for (const key of ["constructor", "toString", "hasOwnProperty", "__proto__"]) {
    const one = JSON.parse(`{"a":1,${JSON.stringify(key)}:"x"}`);
    assert.equal(deepEqual({ a: 1 }, one), false, key);
    assert.equal(deepEqual(one, { a: 1 }), false, key);
    assert.equal(deepEqual(one, structuredClone(one)), true, key);
  }
});

Deno.test("deepEqual: a field that is undefined is one that is missing", () => {
  assert.equal(deepEqual({ a: 1, b: undefined }, { a: 1 }), true);
  assert.equal(deepEqual({ a: 1 }, { a: 1, b: undefined }), true);
});
