import assert from "node:assert/strict";
import fc from "fast-check";
import { globTest } from "../../../manager/placement/glob.ts";

Deno.test("globTest: says what the same pattern as a regular expression says", () => {
  const pattern = fc.stringMatching(/^[ab.*?]{0,8}$/), text = fc.stringMatching(/^[ab.]{0,10}$/);
  fc.assert(fc.property(pattern, text, (pattern, text) => {
    const source = pattern.replaceAll(".", "\\.").replaceAll("*", ".*").replaceAll("?", ".");
    assert.equal(globTest(pattern)(text), new RegExp(`^${source}$`).test(text));
  }));
});

Deno.test("globTest: a pattern that would keep one who tries every way busy for years is answered", () => {
  assert.equal(globTest(`${"*a".repeat(50)}b`)("a".repeat(2000)), false);
});
