import assert from "node:assert/strict";
import { type Output, printList, printObjects, table } from "../../cli/output.ts";

/** As an older manager may still have it stored. */
const odd = { ID: "n1", Hostname: "pi\u202egpj\x1b[2J\nREADY" };

function printed(print: (output: Output) => void): string {
  let all = "";
  print({ write: (text) => void (all += text), note: () => {}, interactive: false, nowMs: () => 0 });
  return all;
}

Deno.test("Output: no cell of a table begins a line, moves the cursor or turns text", () => {
  assert.equal(table(["ID", "HOSTNAME"], [[odd.ID, odd.Hostname]]), "ID   HOSTNAME\nn1   pi gpj [2J READY\n");
});

Deno.test("Output: JSON escapes what cannot be shown, and says the same", () => {
  const view = { header: [], row: () => [], id: ({ ID }: typeof odd) => ID };
  for (
    const text of [
      printed((output) => printList(output, { format: "json" }, [odd], view)),
      printed((output) => printObjects(output, [odd])),
    ]
  ) {
    assert.match(text, /"pi\\u202egpj\\u001b\[2J\\nREADY"/);
    assert.deepEqual(JSON.parse(text), [odd]);
  }
});
