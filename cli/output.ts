/** What the commands print: tables in docker's layout, JSON, and errors. */
import { showable, showableJSON } from "../api/characters.ts";
import { stringifyExact } from "../api/exact_json.ts";

/** Where output goes, so that tests can read it. */
export interface Output {
  write(text: string): void;
  /** Progress and warnings; never mixed with results. */
  note(text: string): void;
  /** True if `note` goes to a terminal that can be redrawn. */
  interactive: boolean;
  nowMs(): number;
}

/** Columns padded to their widest cell, three spaces apart, without trailing blanks. */
export function table(header: string[], rows: string[][]): string {
  rows = rows.map((row) => row.map(showable));
  const widths = header.map((title, i) =>
    Math.max(title.length, ...rows.map((row) => (row[i] ?? "").length))
  );
  const line = (cells: string[]) => cells.map((cell, i) => cell.padEnd(widths[i]!)).join("   ").trimEnd();
  return [header, ...rows].map((row) => `${line(row)}\n`).join("");
}

/** As docker lists things: by name, `pi-2` before `pi-10`. */
export function sortedByName<T>(objects: readonly T[], name: (object: T) => string): T[] {
  return objects.toSorted((a, b) => name(a).localeCompare(name(b), "en", { numeric: true }));
}

/** Either a table of `rows` or, with `--format json`, one JSON document with the API's own objects. */
export function printList<T>(
  output: Output,
  options: { format?: string; quiet?: boolean },
  objects: T[],
  view: { header: string[]; row: (object: T) => string[]; id: (object: T) => string },
): void {
  if (options.quiet) output.write(objects.map((object) => `${view.id(object)}\n`).join(""));
  else if (options.format === "json") output.write(`${showableJSON(stringifyExact(objects, 2))}\n`);
  else output.write(table(view.header, objects.map(view.row)));
}

/** The objects as indented JSON, as `docker inspect` prints them. */
export function printObjects(output: Output, objects: unknown[]): void {
  output.write(`${showableJSON(stringifyExact(objects, 4))}\n`);
}

/** The first characters of an ID, as docker shortens it unless `--no-trunc` says not to. */
export function shownID(id: string, { trunc = true }: { trunc?: boolean }): string {
  return trunc ? id.slice(0, 12) : id;
}
