import assert from "node:assert/strict";
import fc from "fast-check";
import {
  isShowable,
  isShowableInLines,
  showable,
  showableJSON,
  showableLines,
} from "../../api/characters.ts";

const units = fc.array(fc.integer({ min: 0, max: 0x2fff }), { maxLength: 30 })
  .map((codes) => String.fromCharCode(...codes));

Deno.test("Characters: what was made showable is, and what was is left as it is", () => {
  fc.assert(
    fc.property(units, (text) => {
      assert.ok(isShowable(showable(text)));
      assert.ok(isShowableInLines(showableLines(text)));
      if (isShowable(text)) assert.equal(showable(text), text);
      assert.equal(showable(showable(text)), showable(text));
      assert.ok(isShowableInLines(showableJSON(JSON.stringify({ [text]: text }, null, 2))));
      assert.deepEqual(JSON.parse(showableJSON(JSON.stringify({ [text]: text }, null, 2))), { [text]: text });
    }),
    { numRuns: 1000 },
  );
});

Deno.test("Characters: terminal sequences, new lines and marks that turn text cannot be shown; other scripts can", () => {
  assert.equal(showable("a\x1b[2Jb\r\nc\u202egpj.exe\u2069\x7f\u0085d"), "a [2Jb c gpj.exe d");
  assert.equal(showableLines("a\n\tb\x1b[31m"), "a\n\tb [31m");
  for (const text of ["grüße", "שלום", "مرحبا", "日本", "👩‍🚀", "e\u0301", "a\u200fb"]) {
    assert.ok(isShowable(text), text);
  }
  assert.equal(isShowable("\ud800"), false);
});
