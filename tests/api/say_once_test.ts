import assert from "node:assert/strict";
import { SayOnce } from "../../api/say_once.ts";

Deno.test("Say once: the same text is new again only after another one", () => {
  const said = new SayOnce();
  const texts = ["a", "a", "b", "b", "a"];
  assert.deepEqual(texts.map((text) => said.isNew(text)), [true, false, true, false, true]);
});
