/** Splits one flag into arguments as a shell would. Pure. */
import { CoveyError } from "../api/errors.ts";

/** A piece of a word: in single quotes, in double quotes, after a backslash, or as it stands. */
const PIECE = /'([^']*)'|"((?:[^"\\]|\\[\s\S])*)"|\\([\s\S])|([^\s'"\\]+)/y;

/**
 * The words of `text`: blanks hold them apart, quotes and backslashes keep blanks. Nothing is expanded. Throws `invalid_argument`
 * on a quote that is not closed.
 */
export function shellWords(text: string, flag: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  for (let at = 0; at < text.length;) {
    if (/\s/.test(text[at]!)) {
      if (word !== undefined) words.push(word);
      word = undefined;
      at++;
      continue;
    }
    PIECE.lastIndex = at;
    const found = PIECE.exec(text);
    if (!found) {
      throw new CoveyError("invalid_argument", `Cannot read ${flag}: a quote is not closed in ${text}`);
    }
    const [, single, double, escaped, plain] = found;
    word = (word ?? "") + (single ?? double?.replace(/\\(["\\$`])/g, "$1") ?? escaped ?? plain);
    at = PIECE.lastIndex;
  }
  if (word !== undefined) words.push(word);
  return words;
}
