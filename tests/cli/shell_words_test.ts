import assert from "node:assert/strict";
import { shellWords } from "../../cli/shell_words.ts";

Deno.test("Arguments in one flag: are split as a shell does, /bin/sh being the judge", () => {
  const texts = [
    "",
    "  a   b ",
    `-c 'echo "hello world"; sleep 5'`,
    `--name="two words" x`,
    `a\\ b "c\\"d" 'e'f"g"`,
    `"" '' x`,
    `"keeps \\n and \\\\ but" 'a\\b'`,
  ];
  for (const text of texts) {
    const { stdout } = new Deno.Command("sh", { args: ["-c", `printf '%s\\0' x ${text}`] }).outputSync();
    const expected = new TextDecoder().decode(stdout).split("\0").slice(1, -1);
    assert.deepEqual(shellWords(text, "--args"), expected, text);
  }
  for (const open of [`'a`, `b "c`, `d\\`]) {
    assert.throws(() => shellWords(open, "--args"), {
      code: "invalid_argument",
      message: /Cannot read --args/,
    });
  }
});
