/** Takes comments and needless blanks out of JavaScript, for {@link file://./link.ts}. */
import { CoveyError } from "../api/errors.ts";

/** What a piece of code begins with: a comment, blanks, a string, a word or number, or any one character. */
const PIECE = /\/\/[^\n]*|\/\*[^]*?\*\/|\s+|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[\w$]+|[^]/gy;
const REGULAR_EXPRESSION = /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/\w*/y;
/** The text of a template up to its end or the next expression in it. */
const TEMPLATE = /(?:[^`\\$]|\\[^]|\$(?!\{))*(?:`|\$\{)/y;

/** After these a slash divides, after these words and the start it begins a regular expression. */
const OPERAND = /[\w$)\]"'`]$/;
const NO_OPERAND = /^(?:return|typeof|case|in|of|await|yield|void|delete|throw|else|do)$/;

/**
 * The same code with less in it: lines stay lines, as they may end statements. Throws `unimplemented` for a slash of
 * which only a parser could tell what it means.
 */
export function squeeze(code: string): string {
  const out: string[] = [];
  /** For each template that is open, how many braces are open in its expression. */
  const open: number[] = [];
  let at = 0, last = "";
  const take = (pattern: RegExp): string => {
    pattern.lastIndex = at;
    const piece = pattern.exec(code)?.[0];
    if (piece === undefined) throw cannot(code, at);
    at += piece.length;
    return piece;
  };
  const template = () => {
    const text = take(TEMPLATE);
    if (text.endsWith("{")) open.push(0);
    return text;
  };
  const put = (piece: string) => {
    out.push(piece);
    last = piece;
  };
  while (at < code.length) {
    const piece = take(PIECE);
    if (/^(?:\s|\/[/*])/.test(piece)) {
      const blank = piece.includes("\n") ? "\n" : " ", before = out.at(-1);
      if (before === " " || before === undefined) out[Math.max(out.length - 1, 0)] = blank;
      else if (before !== "\n") out.push(blank);
    } else if (piece === "`") {
      put(piece);
      put(template());
    } else if (piece === "}" && open.at(-1) === 0) {
      open.pop();
      put(piece);
      put(template());
    } else if (piece === "/" && last === "}") {
      throw cannot(code, at - 1);
    } else if (piece === "/" && (!OPERAND.test(last) || NO_OPERAND.test(last))) {
      at--;
      put(take(REGULAR_EXPRESSION));
    } else {
      if (open.length > 0 && piece === "{") open[open.length - 1]!++;
      if (open.length > 0 && piece === "}") open[open.length - 1]!--;
      put(piece);
    }
  }
  return out.join("");
}

function cannot(code: string, at: number): CoveyError {
  const line = code.slice(0, at).split("\n").length;
  return new CoveyError("unimplemented", `Cannot read the code: line ${line} is not understood`);
}
