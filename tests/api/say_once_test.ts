import assert from "node:assert/strict";
import { SayOnce } from "../../api/say_once.ts";

const answers = (said: SayOnce, ...texts: string[]) => texts.map((text) => said.isNew(text));

Deno.test("Say once: texts that take turns are said once each, until all was well or many others came", () => {
  const said = new SayOnce();
  assert.deepEqual(answers(said, "a", "a", "b", "a", "b", "c"), [true, false, true, false, false, true]);
  said.reset();
  assert.deepEqual(answers(said, "a", "a"), [true, false]);
  for (let i = 0; i < 100; i++) said.isNew("x".repeat(i + 1));
  assert.deepEqual(answers(said, "a"), [true], "what is remembered is bounded");
});

Deno.test("Say once: numbers make no new text, addresses do", () => {
  const said = new SayOnce();
  assert.deepEqual(
    answers(
      said,
      "Cannot renew: expired 2026-11-28T14:51:39Z, 17.5 s ago",
      "Cannot renew: expired 2026-11-28T14:51:39Z, 18 s ago",
      "Cannot connect to 10.0.0.1:2377",
      "Cannot connect to 10.0.0.2:2377",
      "Cannot connect to 10.0.0.1:2377",
    ),
    [true, false, true, true, false],
  );
});
