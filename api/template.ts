/**
 * Docker's placeholders in a service's spec, such as `{{.Node.Hostname}}`: fields, texts, numbers and the functions below,
 * one after another by `|`. Conditions, loops and variables of Go's templates are refused by name. Pure.
 */
import { CoveyError } from "./errors.ts";

/** What placeholders may name. */
export interface TemplateContext {
  Service: { ID: string; Name: string; Labels: Record<string, string> };
  Node: { ID: string; Hostname: string; Platform: { Architecture: string; OS: string } };
  Task: { ID: string; Name: string; Slot: number };
  /** The variables that the task was given: see `variables.ts`. */
  Var: Record<string, string>;
}

/** Functions that a template may call besides those that every template has. */
export type TemplateFunctions = Record<string, (name: string) => string>;

type Value = string | number | object;

/** Characters of the longest text that comes of a template: a list of placeholders must not grow without end. */
const MAX_EXPANDED = 64 * 1024;

const TOKENS = [
  ["space", /\s+/y],
  ["end", /(?:\s-)?\}\}/y],
  ["field", /(?:\.[A-Za-z_]\w*)+|\./y],
  ["word", /[A-Za-z_]\w*/y],
  ["text", /"(?:[^"\\\n]|\\.)*"|`[^`]*`/y],
  ["number", /-?\d+(?!\w)/y],
  ["pipe", /\|/y],
] as const;

interface Token {
  kind: typeof TOKENS[number][0];
  text: string;
}

function wrong(what: string): CoveyError {
  return new CoveyError("invalid_argument", what);
}

/** True for a text that {@linkcode expand} would not give back as it is. */
export function hasPlaceholder(text: string): boolean {
  return text.includes("{{");
}

/**
 * `template` with its placeholders filled in. Throws `invalid_argument` for bad syntax, for what is not known, and for what
 * becomes longer than `maxLength` characters by them.
 */
export function expand(
  template: string,
  context: TemplateContext,
  functions: TemplateFunctions = {},
  maxLength = MAX_EXPANDED,
): string {
  let out = "", at = 0;
  const more = asFunctions(functions);
  for (const { before, trims, ...action } of actionsOf(template)) {
    out += trims ? before.trimEnd() : before;
    at = action.at;
    if (action.tokens.length > 0 || !action.isComment) out += shown(evaluate(action.tokens, context, more));
    if (out.length > maxLength) throw wrong(`it becomes longer than ${maxLength} characters`);
  }
  return out + template.slice(at);
}

/** The names of the variables and of the functions that `template` uses. Throws `invalid_argument` for bad syntax. */
export function namesIn(template: string): { variables: string[]; functions: string[] } {
  const variables = new Set<string>(), functions = new Set<string>();
  for (const { tokens } of actionsOf(template)) {
    for (const { kind, text } of tokens) {
      if (kind === "word") functions.add(text);
      if (kind === "field" && text.startsWith(".Var.")) variables.add(text.split(".")[2]!);
    }
  }
  return { variables: [...variables], functions: [...functions] };
}

/** Each action with the text before it. What is given out is at most as long as the template. */
function* actionsOf(template: string) {
  let at = 0;
  for (let start = template.indexOf("{{"); start >= 0; start = template.indexOf("{{", at)) {
    const before = template.slice(at, start);
    const trims = /^-\s/.test(template.slice(start + 2, start + 4));
    const { trims: trimsBehind, ...action } = readAction(template, start + 2 + (trims ? 1 : 0));
    at = action.at;
    if (trimsBehind) at += template.slice(at).length - template.slice(at).trimStart().length;
    yield { ...action, before, trims, at };
  }
}

/** The tokens from `at` to the end of the action, and where the text goes on. */
function readAction(template: string, at: number) {
  const tokens: Token[] = [], comment = /\s*\/\*[^]*?\*\/\s*/y;
  comment.lastIndex = at;
  const isComment = comment.test(template);
  if (isComment) at = comment.lastIndex;
  for (;;) {
    const token = tokenAt(template, at);
    at += token.text.length;
    if (token.kind === "end") return { tokens, at, isComment, trims: token.text.length > 2 };
    if (token.kind !== "space") tokens.push(token);
  }
}

function tokenAt(template: string, at: number): Token {
  if (at >= template.length) throw wrong("unclosed action");
  // A trimming end begins with a blank, so it is looked for first.
  for (const [kind, pattern] of [TOKENS[1], ...TOKENS]) {
    pattern.lastIndex = at;
    const text = pattern.exec(template)?.[0];
    if (text !== undefined) return { kind, text };
  }
  if (template[at] === '"' || template[at] === "`") throw wrong("unterminated quoted string");
  throw wrong(`unexpected "${template[at]}" in command`);
}

function evaluate(tokens: readonly Token[], context: TemplateContext, more: Functions): Value {
  let piped: Value | undefined;
  let command: Token[] = [];
  for (const token of [...tokens, { kind: "pipe", text: "|" } as Token]) {
    if (token.kind !== "pipe") command.push(token);
    else {
      piped = run(command, piped, context, more);
      command = [];
    }
  }
  return piped!;
}

function run(
  [first, ...rest]: Token[],
  piped: Value | undefined,
  context: TemplateContext,
  more: Functions,
): Value {
  if (first === undefined) throw wrong("missing value for command");
  const args = rest.map((token) => operand(token, context));
  if (piped !== undefined) args.push(piped);
  if (first.kind === "word") {
    const functions = [FUNCTIONS, more].find((each) => Object.hasOwn(each, first.text));
    const call = functions?.[first.text];
    if (call === undefined) throw wrong(`function "${first.text}" not defined`);
    return call(args);
  }
  if (args.length > 0) throw wrong(`can't give argument to non-function ${first.text}`);
  return operand(first, context);
}

function operand({ kind, text }: Token, context: TemplateContext): Value {
  if (kind === "number") return Number(text);
  if (kind === "text") return text.startsWith("`") ? text.slice(1, -1) : unquoted(text);
  if (kind !== "field") throw wrong(`unexpected ${text} in operand`);
  // A name that only turns up on the device could not be known before.
  if (text === ".Var") throw wrong("a variable stands for itself: write .Var.NAME");
  let value: Value = context;
  for (const name of text.split(".").slice(1)) {
    if (name === "") break;
    if (typeof value !== "object" || !Object.hasOwn(value, name)) {
      throw wrong(`can't evaluate field ${name} in ${text}`);
    }
    value = (value as Record<string, Value>)[name]!;
  }
  return value;
}

function unquoted(text: string): string {
  try {
    return JSON.parse(text);
  } catch {
    throw wrong(`cannot read ${text}`);
  }
}

function shown(value: Value): string {
  if (typeof value === "object") throw wrong("it is no text but several fields: name one of them");
  return String(value);
}

type Functions = Record<string, (args: Value[]) => Value>;

function asFunctions(functions: TemplateFunctions): Functions {
  return Object.fromEntries(
    Object.entries(functions).map(([name, call]) => [name, (args: Value[]) => {
      if (args.length !== 1) throw wrong(`${name} wants one name`);
      return call(shown(args[0]!));
    }]),
  );
}

const FUNCTIONS: Functions = {
  join([separator, ...parts]) {
    if (separator === undefined) throw wrong("join wants a separator");
    return parts.map(shown).join(shown(separator));
  },
  index([of, ...keys]) {
    if (typeof of !== "object" || keys.length !== 1) throw wrong("index wants labels and the name of one");
    const key = shown(keys[0]!), labels = of as Record<string, Value>;
    return Object.hasOwn(labels, key) ? labels[key]! : "";
  },
  len: ([of]) => typeof of === "string" ? new TextEncoder().encode(of).length : Object.keys(of ?? {}).length,
  printf([format, ...args]) {
    const text = shown(format ?? "");
    const out = text.replace(/%(0?)(\d{0,3})([a-zA-Z%])/g, (all, zero, width, verb) => {
      if (verb === "%") return "%";
      if (!["s", "v", "d"].includes(verb)) throw wrong(`printf knows %s, %v and %d, not ${all}`);
      const next = args.shift();
      if (next === undefined) throw wrong(`printf has no value for ${all}`);
      return shown(next).padStart(Number(width), zero || " ");
    });
    if (args.length > 0) throw wrong("printf has more values than places for them");
    return out;
  },
};
