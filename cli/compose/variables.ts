/** Variables in compose files: `$NAME`, `${NAME}`, and what stands in where they are not set. Pure. */

/** How variables are looked up. */
export type Lookup = (name: string) => string | undefined;

const NAME = /^[A-Za-z_][A-Za-z0-9_]*/;
const OPERATOR = /^:?[-?+]/;

/** How deep defaults may stand in defaults. */
const MAX_DEPTH = 16;

/** Why a text cannot be filled in. */
export class VariableError extends Error {}

/**
 * `text` with its variables filled in as compose does: `${A:-b}` and `${A-b}` (b where A is empty or not set, or only not set),
 * `${A:?why}` and `${A?why}` (refused with the reason), `${A:+b}` and `${A+b}` (b where A is set), `$$` for a dollar. One that is
 * not set is empty, and told to `missing`. Throws {@linkcode VariableError}.
 */
export function fillIn(text: string, lookup: Lookup, missing: (name: string) => void, depth = 0): string {
  if (depth > MAX_DEPTH) throw new VariableError("defaults stand too deep in defaults");
  let filled = "";
  for (let at = 0; at < text.length;) {
    const dollar = text.indexOf("$", at);
    if (dollar < 0) return filled + text.slice(at);
    filled += text.slice(at, dollar);
    const rest = text.slice(dollar + 1);
    if (rest.startsWith("$")) {
      filled += "$";
      at = dollar + 2;
    } else if (rest.startsWith("{")) {
      const end = closingBrace(rest);
      if (end < 0) throw new VariableError(`"\${" is not closed in "${text}"`);
      filled += expression(rest.slice(1, end), lookup, missing, depth);
      at = dollar + 1 + end + 1;
    } else {
      const name = NAME.exec(rest)?.[0];
      if (name === undefined) {
        throw new VariableError(`"$" needs a name after it, or another "$", in "${text}"`);
      }
      filled += valueOf(name, lookup, missing);
      at = dollar + 1 + name.length;
    }
  }
  return filled;
}

/** Where the brace at the start of `text` is closed; below 0 if nowhere. */
function closingBrace(text: string): number {
  let open = 0;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === "{") open++;
    else if (text[at] === "}" && --open === 0) return at;
  }
  return -1;
}

function valueOf(name: string, lookup: Lookup, missing: (name: string) => void): string {
  const value = lookup(name);
  if (value === undefined) missing(name);
  return value ?? "";
}

function expression(inner: string, lookup: Lookup, missing: (name: string) => void, depth: number): string {
  const name = NAME.exec(inner)?.[0];
  if (name === undefined) throw new VariableError(`"\${${inner}}" names no variable`);
  const rest = inner.slice(name.length);
  if (rest === "") return valueOf(name, lookup, missing);
  const operator = OPERATOR.exec(rest)?.[0];
  if (operator === undefined) throw new VariableError(`"\${${inner}}" is no variable with a default`);
  const word = rest.slice(operator.length), value = lookup(name);
  const isSet = value !== undefined && (value !== "" || !operator.startsWith(":"));
  const other = () => fillIn(word, lookup, missing, depth + 1);
  switch (operator.at(-1)) {
    case "-":
      return isSet ? value : other();
    case "+":
      return isSet ? other() : "";
    default:
      if (isSet) return value;
      throw new VariableError(`variable ${name} is not set${word === "" ? "" : `: ${other()}`}`);
  }
}
