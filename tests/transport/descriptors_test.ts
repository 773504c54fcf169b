import assert from "node:assert/strict";
import { parseDescriptors, shareDescriptors } from "../../transport/descriptors.ts";

Deno.test("Descriptors: what the launcher says counts, anything else is the system's usual", () => {
  assert.equal(parseDescriptors("20000"), 20_000);
  assert.equal(parseDescriptors("unlimited"), Infinity);
  for (const text of [undefined, "", "-1", "many", "1e9"]) assert.equal(parseDescriptors(text), 1024);
});

Deno.test("Descriptors: both listeners together leave some for everything else", () => {
  for (const limit of [256, 1024, 20_000]) {
    const { nodes, control } = shareDescriptors(limit);
    assert.ok(nodes + control <= limit - 192 && control > 0, `${limit}: ${nodes} and ${control}`);
  }
});
