import { ok, strictEqual } from "node:assert/strict";
import { newID, systemRandom } from "../../api/random.ts";

Deno.test("Random: nothing is handed out twice, whatever lengths are asked for in turn", () => {
  const seen = new Set<string>();
  for (let nth = 0; nth < 5_000; nth++) {
    const length = [16, 8, 32, 33, 100, 31][nth % 6]!, bytes = systemRandom.bytes(length);
    strictEqual(bytes.length, length);
    // Of 8 random bytes the first half may be anything; that all are zero means that they were never drawn.
    ok(bytes.some((byte) => byte !== 0));
    for (let at = 0; at + 8 <= length; at += 8) {
      const piece = bytes.subarray(at, at + 8).toHex();
      ok(!seen.has(piece), piece);
      seen.add(piece);
    }
  }
});

Deno.test("Random: an ID is 25 characters of base 36, and another each time", () => {
  const ids = new Set(Array.from({ length: 1_000 }, () => newID(systemRandom)));
  strictEqual(ids.size, 1_000);
  ok([...ids].every((id) => /^[0-9a-z]{25}$/.test(id)));
});
