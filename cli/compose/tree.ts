/** A compose file as a tree whose every value knows the line that it stands on. */
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node as YAMLNode,
  parseDocument,
  type YAMLMap,
} from "yaml";
import { CoveyError } from "../../api/errors.ts";
import type { Problems } from "./problems.ts";

/** Bytes of the largest compose file that is read: the largest public ones have a tenth of it. */
export const MAX_FILE_BYTES = 1024 * 1024;

/** How often one file may name anchors: without a bound a few lines grow to gigabytes. */
const MAX_ALIASES = 1000;

/** Where something stands. */
export interface Place {
  file: string;
  line: number;
}

/** A value of a compose file. */
export type Tree = Scalar | List | Mapping;

/** A text, number or truth; `text` is as it was written, `null` where nothing was. */
export interface Scalar {
  kind: "scalar";
  at: Place;
  text: string | null;
  /** What YAML takes it for. */
  type: "text" | "number" | "boolean" | "null";
}

/** Several values. */
export interface List {
  kind: "list";
  at: Place;
  items: Tree[];
}

/** Values by key, in the order of the file. */
export interface Mapping {
  kind: "mapping";
  at: Place;
  entries: Map<string, Tree>;
}

/**
 * The tree of one file. What is no YAML, and keys that stand twice, are problems with their line. `<<` takes in another
 * mapping, as in YAML 1.1, which public compose files use.
 */
export function parseTree(file: string, text: string, problems: Problems): Tree {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, prettyErrors: false });
  for (const { message, pos } of document.errors) {
    problems.add({ file, line: lines.linePos(pos[0]).line }, "", message.split("\n", 1)[0]!);
  }
  const placeOf = (node: YAMLNode | null | undefined): Place => ({
    file,
    line: node?.range ? lines.linePos(node.range[0]).line : 1,
  });
  let aliases = 0;

  const treeOf = (node: YAMLNode | null | undefined, near: Place): Tree => {
    const at = node?.range ? placeOf(node) : near;
    if (isAlias(node)) {
      if (++aliases > MAX_ALIASES) {
        const why = `more than ${MAX_ALIASES} aliases`;
        throw new CoveyError("invalid_argument", `Cannot read ${file}: ${why}`);
      }
      return treeOf(node.resolve(document), at);
    }
    if (isMap(node)) return mappingOf(node as YAMLMap<YAMLNode, YAMLNode | null>, at);
    if (isSeq(node)) {
      return {
        kind: "list",
        at,
        items: node.items.map((item) => treeOf(item as YAMLNode, at)),
      };
    }
    return scalarOf(node, at);
  };

  const mappingOf = (node: YAMLMap<YAMLNode, YAMLNode | null>, at: Place): Mapping => {
    const own = new Map<string, Tree>(), taken = new Map<string, Tree>();
    for (const { key, value } of node.items) {
      const name = isScalar(key) ? String(key.source ?? key.value) : String(key);
      const tree = treeOf(value, placeOf(key));
      if (name !== "<<") own.set(name, tree);
      else for (const each of tree.kind === "list" ? tree.items : [tree]) takeIn(each, taken);
    }
    for (const [name, tree] of taken) if (!own.has(name)) own.set(name, tree);
    return { kind: "mapping", at, entries: own };
  };

  return treeOf(document.contents as YAMLNode | null, { file, line: 1 });
}

/** The first of several mappings that has a key counts. */
function takeIn(tree: Tree, taken: Map<string, Tree>): void {
  if (tree.kind !== "mapping") return;
  for (const [name, value] of tree.entries) if (!taken.has(name)) taken.set(name, value);
}

function scalarOf(node: YAMLNode | null | undefined, at: Place): Scalar {
  if (!isScalar(node) || node.value === null) return { kind: "scalar", at, text: null, type: "null" };
  const { value, source } = node, type = typeof value;
  if (type === "string") return { kind: "scalar", at, text: value as string, type: "text" };
  return {
    kind: "scalar",
    at,
    text: source ?? String(value),
    type: type === "boolean" ? "boolean" : "number",
  };
}

/** `tree` with each text that is a value, not a key, replaced. */
export function mapScalars(tree: Tree, replace: (scalar: Scalar) => Scalar): Tree {
  switch (tree.kind) {
    case "scalar":
      return replace(tree);
    case "list":
      return { ...tree, items: tree.items.map((item) => mapScalars(item, replace)) };
    case "mapping":
      return {
        ...tree,
        entries: new Map([...tree.entries].map(([key, value]) => [key, mapScalars(value, replace)])),
      };
  }
}
