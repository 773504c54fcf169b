import assert from "node:assert/strict";
import { fillIn, VariableError } from "../../../cli/compose/variables.ts";

const ENV: Record<string, string> = { A: "a", EMPTY: "", B: "b" };

function filled(text: string): string {
  return fillIn(text, (name) => ENV[name], () => {});
}

Deno.test("Compose variables: every form is filled in as compose does", () => {
  const forms = {
    "$A-${B}": "a-b",
    "$$A": "$A",
    "${NONE}": "",
    "${NONE:-x}": "x",
    "${EMPTY:-x}": "x",
    "${EMPTY-x}": "",
    "${NONE-x}": "x",
    "${A:+x}": "x",
    "${EMPTY:+x}": "",
    "${EMPTY+x}": "x",
    "${NONE:-${A}/${B:-c}}": "a/b",
    "${A:?needed}": "a",
    "${NONE:-}": "",
    "${NONE:-a}b}": "ab}",
  };
  for (const [text, wanted] of Object.entries(forms)) assert.equal(filled(text), wanted, text);
});

Deno.test("Compose variables: what is required and not set is refused with its reason, and what is no variable by its text", () => {
  assert.throws(() => filled("${NONE:?set it in .env}"), /variable NONE is not set: set it in \.env/);
  assert.throws(() => filled("${EMPTY:?}"), /variable EMPTY is not set$/);
  assert.equal(filled("${EMPTY?}"), "");
  for (const text of ["${A", "$1", "$", "${}", "${A!b}", "a $ b"]) {
    assert.throws(() => filled(text), VariableError, text);
  }
});

Deno.test("Compose variables: defaults in defaults have an end", () => {
  const deep = "${N:-".repeat(40) + "x" + "}".repeat(40);
  assert.throws(() => filled(deep), VariableError);
});

Deno.test("Compose variables: names that are not set are told of", () => {
  const missing: string[] = [];
  fillIn("$NONE ${ALSO} ${FINE:-x} $A", (name) => ENV[name], (name) => missing.push(name));
  assert.deepEqual(missing, ["NONE", "ALSO"]);
});
