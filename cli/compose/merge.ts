/** Several compose files as one, as compose merges them: a later file adds to an earlier one and overrides it. Pure. */
import type { List, Mapping, Scalar, Tree } from "./tree.ts";

/** Lists that a later file replaces as a whole: half of a command is none. */
const REPLACED = new Set(["command", "entrypoint", "test"]);

/** Written as a mapping or as a list of `name=value`: merged by name either way. */
const PAIRS: Record<string, string> = {
  environment: "=",
  labels: "=",
  sysctls: "=",
  extra_hosts: ":",
  driver_opts: "=",
};

/** Lists whose items are known by where they lead: the later one of two with the same target counts. */
const BY_TARGET: Record<string, (item: Tree) => string | undefined> = {
  volumes: (item) => targetOf(item, /^(?:[^:]+:)?([^:]+)(?::[^:/\\]+)?$/),
  secrets: (item) => targetOf(item, /^(.*)$/, "source"),
  configs: (item) => targetOf(item, /^(.*)$/, "source"),
};

/** `later` merged into `earlier`. `key` is what both stand at. */
export function merge(earlier: Tree, later: Tree, key = ""): Tree {
  if (later.kind === "scalar" && later.text === null) return earlier;
  const separator = PAIRS[key];
  if (separator !== undefined) {
    return merge(asMapping(earlier, separator), asMapping(later, separator), "");
  }
  if (earlier.kind === "mapping" && later.kind === "mapping") {
    const entries = new Map(earlier.entries);
    for (const [name, value] of later.entries) {
      const before = entries.get(name);
      entries.set(name, before === undefined ? value : merge(before, value, name));
    }
    return { ...later, entries } satisfies Mapping;
  }
  if (key === "networks" && earlier.kind !== later.kind) return merge(named(earlier), named(later), "");
  if (earlier.kind === "list" && later.kind === "list" && !REPLACED.has(key)) {
    return { ...later, items: joined(earlier.items, later.items, key) } satisfies List;
  }
  return later;
}

function joined(earlier: Tree[], later: Tree[], key: string): Tree[] {
  const keyOf = BY_TARGET[key] ??
    ((item: Tree) => item.kind === "scalar" ? item.text ?? undefined : undefined);
  const replaced = new Set(later.map(keyOf).filter((each) => each !== undefined));
  return [...earlier.filter((item) => !replaced.has(keyOf(item)!)), ...later];
}

function targetOf(item: Tree, short: RegExp, instead = "target"): string | undefined {
  if (item.kind === "scalar") return short.exec(item.text ?? "")?.[1];
  const target = item.kind === "mapping"
    ? item.entries.get("target") ?? item.entries.get(instead)
    : undefined;
  return target?.kind === "scalar" ? target.text ?? undefined : undefined;
}

/** A list of `name=value` as a mapping. */
function asMapping(tree: Tree, separator: string): Tree {
  if (tree.kind !== "list") return tree;
  const entries = tree.items.flatMap((item): [string, Scalar][] => {
    if (item.kind !== "scalar" || item.text === null) return [];
    const at = item.text.indexOf(separator);
    const [name, text] = at < 0 ? [item.text, null] : [item.text.slice(0, at), item.text.slice(at + 1)];
    return [[name, { ...item, text, type: text === null ? "null" : "text" }]];
  });
  return { kind: "mapping", at: tree.at, entries: new Map(entries) };
}

/** A list of names as a mapping without values. */
function named(tree: Tree): Tree {
  return asMapping(tree, "\0");
}
