/** Reading a mapping key by key: each value's type is checked, and what nobody asked for is refused with its line. */
import { parseGoDuration } from "../../api/duration.ts";
import { parseBytes, parseCPUs } from "../units.ts";
import type { Problems } from "./problems.ts";
import type { Mapping, Place, Scalar, Tree } from "./tree.ts";

/** Octal as YAML 1.1 and 1.2 write it. */
const OCTAL = /^0o?([0-7]+)$/;

/** One mapping of a compose file. */
export class Section {
  readonly #asked = new Set<string>();

  constructor(readonly mapping: Mapping, readonly path: string, readonly problems: Problems) {}

  /** The mapping that `tree` has to be; an empty one, and a problem, where it is something else. */
  static of(tree: Tree, path: string, problems: Problems): Section {
    if (tree.kind === "mapping") return new Section(tree, path, problems);
    if (!isNull(tree)) problems.add(tree.at, path, "want a mapping");
    return new Section({ kind: "mapping", at: tree.at, entries: new Map() }, path, problems);
  }

  /** Keys, without those that are for others (`x-…`). */
  get names(): string[] {
    return [...this.mapping.entries.keys()].filter((name) => !name.startsWith("x-"));
  }

  get at(): Place {
    return this.mapping.at;
  }

  /** The value as it stands; undefined where there is none or it is empty. */
  tree(key: string): Tree | undefined {
    this.#asked.add(key);
    const tree = this.mapping.entries.get(key);
    return tree === undefined || isNull(tree) ? undefined : tree;
  }

  /** Whether the key stands there, with or without a value. */
  has(key: string): boolean {
    return this.mapping.entries.has(key);
  }

  text(key: string): string | undefined {
    return this.#scalar(key)?.text ?? undefined;
  }

  flag(key: string): boolean | undefined {
    const scalar = this.#scalar(key);
    if (scalar === undefined) return undefined;
    if (/^(true|false)$/i.test(scalar.text!)) return scalar.text!.toLowerCase() === "true";
    this.refuse(key, `want true or false, not "${scalar.text}"`);
    return undefined;
  }

  /** A whole number; octal where it starts with 0, as file modes do. */
  count(key: string): number | undefined {
    return this.#read(key, "a whole number", (text) => {
      const octal = OCTAL.exec(text);
      if (octal) return parseInt(octal[1]!, 8);
      return /^\d+$/.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : undefined;
    });
  }

  /** A whole number that may be negative. */
  integer(key: string): number | undefined {
    return this.#read(key, "a whole number", (text) => /^-?\d+$/.test(text) ? Number(text) : undefined);
  }

  ratio(key: string): number | undefined {
    return this.#read(key, "a ratio between 0 and 1", (text) => {
      const value = Number(text);
      return value >= 0 && value <= 1 ? value : undefined;
    });
  }

  /** Nanoseconds. */
  duration(key: string): number | undefined {
    return this.#read(key, "a duration such as 10s or 1m30s", parseGoDuration);
  }

  bytes(key: string): number | undefined {
    return this.#read(key, "a size such as 64m or 1g", (text) => orUndefined(() => parseBytes(key, text)));
  }

  /** Billionths of a processor. */
  cpus(key: string): number | undefined {
    return this.#read(key, "a number of CPUs such as 0.5", (text) => orUndefined(() => parseCPUs(key, text)));
  }

  choice<T extends string>(key: string, choices: readonly T[]): T | undefined {
    return this.#read(
      key,
      `one of ${choices.join(", ")}`,
      (text) => (choices as readonly string[]).includes(text) ? text as T : undefined,
    );
  }

  /** A list of texts. */
  texts(key: string): string[] | undefined {
    const tree = this.tree(key);
    if (tree === undefined) return undefined;
    if (tree.kind !== "list") {
      this.refuse(key, "want a list");
      return undefined;
    }
    return tree.items.flatMap((item) => {
      if (item.kind === "scalar" && item.text !== null) return [item.text];
      this.problems.add(item.at, this.pathOf(key), "want a text");
      return [];
    });
  }

  /** A list of texts, or one alone. */
  textOrTexts(key: string): string[] | undefined {
    const tree = this.tree(key);
    return tree?.kind === "scalar" ? [tree.text!] : this.texts(key);
  }

  /** Texts by name, written as a mapping or as a list of `name=value`; null where a name has no value. */
  pairs(key: string, separator = "="): Map<string, string | null> | undefined {
    const tree = this.tree(key);
    if (tree === undefined) return undefined;
    if (tree.kind === "mapping") {
      return new Map([...tree.entries].map(([name, value]): [string, string | null] => {
        if (value.kind === "scalar") return [name, value.text];
        this.problems.add(value.at, `${this.pathOf(key)}.${name}`, "want a text");
        return [name, null];
      }));
    }
    return new Map((this.texts(key) ?? []).map((pair): [string, string | null] => {
      const at = pair.indexOf(separator);
      return at < 0 ? [pair, null] : [pair.slice(0, at), pair.slice(at + separator.length)];
    }));
  }

  /** Labels, options and the like: a name without a value has an empty one. */
  labels(key: string): Record<string, string> | undefined {
    const pairs = this.pairs(key);
    return pairs && Object.fromEntries([...pairs].map(([name, value]) => [name, value ?? ""]));
  }

  /** A mapping below this one; undefined where there is none. */
  section(key: string): Section | undefined {
    const tree = this.tree(key);
    return tree && Section.of(tree, this.pathOf(key), this.problems);
  }

  /** The items of a list, each with its path. */
  items(key: string): { tree: Tree; path: string }[] {
    const tree = this.tree(key);
    if (tree === undefined) return [];
    if (tree.kind === "list") {
      return tree.items.map((item, i) => ({ tree: item, path: `${this.pathOf(key)}[${i}]` }));
    }
    this.refuse(key, "want a list");
    return [];
  }

  /** What has no meaning in a swarm, and what to write instead. */
  unsupported(keys: Record<string, string>): void {
    for (const [key, instead] of Object.entries(keys)) {
      if (this.tree(key) === undefined) continue;
      const hint = instead === "" ? "" : `; ${instead}`;
      this.problems.unsupported(this.placeOf(key), this.pathOf(key), `is not supported in a swarm${hint}`);
    }
  }

  /** Refuses every key that nobody asked for. */
  end(): void {
    for (const name of this.names) {
      if (!this.#asked.has(name)) {
        this.problems.add(this.placeOf(name), this.pathOf(name), "is no key that is known here");
      }
    }
  }

  refuse(key: string, what: string): void {
    this.problems.add(this.placeOf(key), this.pathOf(key), what);
  }

  pathOf(key: string): string {
    return this.path === "" ? key : `${this.path}.${key}`;
  }

  placeOf(key: string): Place {
    return this.mapping.entries.get(key)?.at ?? this.at;
  }

  #scalar(key: string): Scalar | undefined {
    const tree = this.tree(key);
    if (tree === undefined || tree.kind === "scalar") return tree;
    this.refuse(key, "want a text, not a list or a mapping");
    return undefined;
  }

  #read<T>(key: string, wanted: string, parse: (text: string) => T | undefined): T | undefined {
    const text = this.text(key);
    if (text === undefined) return undefined;
    const value = parse(text);
    if (value === undefined) this.refuse(key, `want ${wanted}, not "${text}"`);
    return value;
  }
}

function isNull(tree: Tree): boolean {
  return tree.kind === "scalar" && tree.text === null;
}

function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
