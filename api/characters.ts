/**
 * What text from outside may do where it is shown. Control characters move a terminal's cursor and begin new lines; marks of
 * direction make a name read as another (U+202E turns `gpj.exe` into `exe.jpg`).
 */

/** Control characters, line separators, and what overrides the direction of text. */
// deno-lint-ignore no-control-regex -- control characters are what it is about
const UNSHOWABLE = /[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/;
/** The same but for tab, line feed and carriage return. */
// deno-lint-ignore no-control-regex -- as above
const UNSHOWABLE_IN_LINES = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/;
const RUNS = new RegExp(`${UNSHOWABLE.source}+`, "g");
const RUNS_IN_LINES = new RegExp(`${UNSHOWABLE_IN_LINES.source}+`, "g");

/** True if `text` can stand in a line of a table or a log as it is. */
export function isShowable(text: string): boolean {
  return !UNSHOWABLE.test(text) && text.isWellFormed();
}

/** True if `text` can be shown as it is where several lines may stand. */
export function isShowableInLines(text: string): boolean {
  return !UNSHOWABLE_IN_LINES.test(text) && text.isWellFormed();
}

/** `text` as one line: what cannot be shown becomes a blank. */
export function showable(text: string): string {
  return isShowable(text) ? text : text.replace(RUNS, " ").toWellFormed();
}

/** `text` with its lines: what cannot be shown becomes a blank. */
export function showableLines(text: string): string {
  return isShowableInLines(text) ? text : text.replace(RUNS_IN_LINES, " ").toWellFormed();
}

/** JSON that can be shown and still says the same: such characters are written as `\\uXXXX`. */
export function showableJSON(json: string): string {
  return json.replace(
    RUNS_IN_LINES,
    (run) => [...run].map((each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}`).join(""),
  );
}
