/** Parts that every stored object has (SwarmKit `Meta`, `Annotations`), in the Docker Engine API's names. */

/** The optimistic lock: the consensus index at which the object was last written. */
export interface Version {
  Index: number;
}

/**
 * Identity and history of a stored object. Times are RFC 3339 in UTC.
 *
 * @example
 * ```ts
 * // Where an update of `object` goes: it is refused if somebody else was faster.
 * function updatePath(object: Meta): string {
 *   return `/services/${object.ID}/update?version=${object.Version.Index}`;
 * }
 * ```
 */
export interface Meta {
  ID: string;
  Version: Version;
  /** The version whose spec the object still has, where other parts of it were written since. The store keeps it. */
  SpecSince?: Version;
  CreatedAt: string;
  UpdatedAt: string;
}

/** Name and labels, owned by the user. */
export interface Annotations {
  Name: string;
  Labels: Record<string, string>;
}

/** Operating system and architecture in Go's words: `linux`, `amd64`, `arm64`. */
export interface Platform {
  OS: string;
  Architecture: string;
}

/** A countable or named resource of a node, as the Engine API spells it. */
export type GenericResource =
  | { DiscreteResourceSpec: { Kind: string; Value: number } }
  | { NamedResourceSpec: { Kind: string; Value: string } };

/**
 * Processor share in billionths of a core, memory in bytes.
 *
 * @example
 * ```ts
 * const half: Resources = { NanoCPUs: 0.5e9, MemoryBytes: 64 * 1024 ** 2 };
 * ```
 */
export interface Resources {
  NanoCPUs?: number;
  MemoryBytes?: number;
  GenericResources?: GenericResource[];
}

/**
 * What a task may use at most. `Pids` 0 means no limit.
 *
 * @example
 * ```ts
 * const small: Limits = { MemoryBytes: 128 * 1024 ** 2, Pids: 50 };
 * ```
 */
export interface Limits {
  NanoCPUs?: number;
  MemoryBytes?: number;
  Pids?: number;
}
