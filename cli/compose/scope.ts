/** What the parts of a conversion share: the stack's name, and what the file defines at its top. */
import { STACK_LABEL } from "./stack.ts";
import type { Place } from "./tree.ts";
import type { Section } from "./section.ts";
import type { Lookup } from "./variables.ts";

/** An object at the top of the file. */
export interface Definition {
  /** As the cluster knows it. */
  name: string;
  external: boolean;
  section: Section;
}

/** The kinds of object at the top of a file that services name. */
export type DefinitionKind = "networks" | "volumes" | "secrets" | "configs";

/** One conversion. */
export interface Scope {
  stack: string;
  env: Lookup;
  /** The folder that a relative path at a place is relative to. */
  folderAt(place: Place): string;
  definitions: Record<DefinitionKind, Map<string, Definition>>;
  /** The services of the file, each with what it waits for. */
  waits: ReadonlyMap<string, readonly string[]>;
  /** Texts of `env_file`s by path. */
  envFiles: ReadonlyMap<string, string>;
}

/** `name` as one of the stack's. */
export function scoped({ stack }: Pick<Scope, "stack">, name: string): string {
  return `${stack}_${name}`;
}

/** `labels` and the one that says whose the object is. */
export function stackLabels({ stack }: Pick<Scope, "stack">, labels: Record<string, string> = {}) {
  return { ...labels, [STACK_LABEL]: stack };
}

/** `record` without what is undefined; undefined where nothing is left. */
export function compact<T extends object>(record: { [K in keyof T]: T[K] | undefined }): T | undefined {
  const entries = Object.entries(record).filter(([, value]) => value !== undefined);
  return entries.length === 0 ? undefined : Object.fromEntries(entries) as T;
}
