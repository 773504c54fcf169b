import assert from "node:assert/strict";
import { parseReference } from "../../cli/reference_flags.ts";

const file = (Name: string, more: object = {}) => ({ Name, UID: "0", GID: "0", Mode: 0o444, ...more });

Deno.test("--secret: a name alone is its own target, and fields are Docker's and env", () => {
  assert.deepEqual(parseReference("secret", "key"), { source: "key", File: file("key") });
  assert.deepEqual(
    parseReference("secret", "source=key,target=/etc/key,uid=1000,gid=100,mode=0400,env=KEY"),
    { source: "key", File: file("/etc/key", { UID: "1000", GID: "100", Mode: 0o400 }), Env: "KEY" },
  );
  assert.deepEqual(parseReference("config", "src=a,target=b=c"), { source: "a", File: file("b=c") });
});

Deno.test("--secret: what cannot be read is refused with its reason", () => {
  const wrong: [string, RegExp][] = [
    ["", /a source must be given/],
    ["target=x", /a source must be given/],
    ["source=key,x", /want source=NAME,target=FILE/],
    ["source=key,color=red", /there is no color/],
    ["source=key,mode=9", /a mode is octal/],
    ["source=key,mode=u+r", /a mode is octal/],
  ];
  for (const [text, reason] of wrong) {
    assert.throws(() => parseReference("secret", text), { code: "invalid_argument", message: reason }, text);
  }
});
