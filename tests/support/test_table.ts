/** Tables of the docs whose rows name tests: `path` "name of the test". */

const ROOT = new URL("../../", import.meta.url);

/** A test that a row names; without `name` the whole file. */
export interface NamedTest {
  path: string;
  name: string | undefined;
}

/** The rows of a document's table that begin with a number, each as its cells. */
export function numberedRows(document: string): string[][] {
  return Deno.readTextFileSync(new URL(document, ROOT)).split("\n")
    .filter((line) => /^\| *\d+ *\|/.test(line))
    .map((line) => line.split("|").slice(1).map((cell) => cell.trim()));
}

/** The tests that a cell names. */
export function testsIn(cell: string): NamedTest[] {
  return [...cell.matchAll(/`([^`]+)`(?: "([^"]+)")?/g)].map(([, path, name]) => ({ path: path!, name }));
}

/** What is wrong with a test that a table names, or with its file as `judge` says of the text. */
export function problemOf(
  { path, name }: NamedTest,
  judge?: (text: string) => string | undefined,
): string | undefined {
  let text: string;
  try {
    text = Deno.readTextFileSync(new URL(path, ROOT));
  } catch {
    return `${path} does not exist`;
  }
  if (judge !== undefined) return judge(text);
  if (name === undefined) return `${path} lacks the name of its test`;
  return [`"${name}"`, `\`${name}\``].some((quoted) => text.includes(quoted))
    ? undefined
    : `${path} has no test "${name}"`;
}
