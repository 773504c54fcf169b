/** What a node has left to promise. Only reservations count, never limits or real usage. */
import type { GenericResource, Resources } from "../../api/objects.ts";
import type { NodeDescription } from "../../api/node.ts";
import type { Task } from "../../api/task.ts";

/** What an earlier version stored may be of neither kind: it counts for nothing. */
type StoredResource = Partial<
  {
    DiscreteResourceSpec: { Kind: string; Value: number };
    NamedResourceSpec: { Kind: string; Value: string };
  }
>;

/** The part of a task that says what it needs. */
type Claimant = Pick<Task, "Spec" | "AssignedGenericResources">;

function stored(resources: readonly GenericResource[] = []): readonly StoredResource[] {
  return resources;
}

/** What is wanted of one kind: any so many, and these by name. */
interface Wish {
  count: number;
  names: string[];
}

function wishes(reservations: Resources): Map<string, Wish> {
  const byKind = new Map<string, Wish>();
  const of = (kind: string) => {
    let wish = byKind.get(kind);
    if (wish === undefined) byKind.set(kind, wish = { count: 0, names: [] });
    return wish;
  };
  for (const { DiscreteResourceSpec, NamedResourceSpec } of stored(reservations.GenericResources)) {
    if (DiscreteResourceSpec) of(DiscreteResourceSpec.Kind).count += DiscreteResourceSpec.Value;
    else if (NamedResourceSpec) of(NamedResourceSpec.Kind).names.push(NamedResourceSpec.Value);
  }
  return byKind;
}

/** The kind of paths below /dev, of which a node offers those that its agent finds. */
const DEVICES = "dev";

/** The generic resources of a node that has, or promised, any. */
interface GenericAmounts {
  discrete: Map<string, number>;
  named: Map<string, Set<string>>;
  totalNamed: Map<string, Set<string>>;
}

function noAmounts(): GenericAmounts {
  return { discrete: new Map(), named: new Map(), totalNamed: new Map() };
}

/** The free resources of one node. A negative amount means that the node promised more than it (now) has. */
export class NodeResources {
  #cpu: number;
  #memory: number;
  #generic: GenericAmounts | undefined;

  constructor(node: Pick<NodeDescription, "Resources" | "Facts"> | undefined) {
    const total = node?.Resources;
    this.#cpu = total?.NanoCPUs ?? 0;
    this.#memory = total?.MemoryBytes ?? 0;
    const paths = node?.Facts?.[DEVICES];
    if (paths !== undefined) {
      this.#generic = noAmounts();
      for (const sets of [this.#generic.named, this.#generic.totalNamed]) sets.set(DEVICES, new Set(paths));
    }
    for (const { DiscreteResourceSpec, NamedResourceSpec } of stored(total?.GenericResources)) {
      const { discrete, named, totalNamed } = this.#generic ??= noAmounts();
      if (DiscreteResourceSpec) {
        const { Kind, Value } = DiscreteResourceSpec;
        discrete.set(Kind, (discrete.get(Kind) ?? 0) + Value);
      } else if (NamedResourceSpec) {
        const { Kind, Value } = NamedResourceSpec;
        for (const sets of [named, totalNamed]) {
          sets.set(Kind, (sets.get(Kind) ?? new Set()).add(Value));
        }
      }
    }
  }

  /** How many more tasks with `reservations` fit; Infinity if they reserve nothing. */
  room(reservations: Resources | undefined): number {
    if (reservations === undefined) return Infinity;
    let room = Infinity;
    const limit = (free: number, each: number) => {
      if (each > 0) room = Math.min(room, Math.max(0, Math.floor(free / each)));
    };
    limit(this.#cpu, reservations.NanoCPUs ?? 0);
    limit(this.#memory, reservations.MemoryBytes ?? 0);
    if (reservations.GenericResources === undefined) return room;
    for (const [kind, { count, names }] of wishes(reservations)) {
      const named = this.#generic?.named.get(kind);
      if (!names.every((name) => named?.has(name))) return 0;
      // Of those by name there is one each.
      if (names.length > 0) room = Math.min(room, 1);
      limit((named?.size ?? this.#generic?.discrete.get(kind) ?? 0) - names.length, count);
    }
    return room;
  }

  /** What there is too little of for one more task with `reservations`: `cpu`, `memory`, or a kind of generic resource. */
  shortOf(reservations: Resources = {}): string[] {
    const each: [string, Resources][] = [
      ["cpu", { NanoCPUs: reservations.NanoCPUs ?? 0 }],
      ["memory", { MemoryBytes: reservations.MemoryBytes ?? 0 }],
    ];
    for (const part of reservations.GenericResources ?? []) {
      const { DiscreteResourceSpec, NamedResourceSpec }: StoredResource = part;
      const name = DiscreteResourceSpec?.Kind ??
        (NamedResourceSpec && `${NamedResourceSpec.Kind} ${NamedResourceSpec.Value}`);
      if (name !== undefined) each.push([name, { GenericResources: [part] }]);
    }
    return each.filter(([, part]) => this.room(part) === 0).map(([name]) => name);
  }

  /** True if exactly what `task` reserved (named resources included) is still free. */
  fits(task: Claimant): boolean {
    const reservations = task.Spec.Resources?.Reservations;
    for (const { NamedResourceSpec } of stored(task.AssignedGenericResources)) {
      if (!NamedResourceSpec) continue;
      const { Kind, Value } = NamedResourceSpec;
      if (!this.#generic?.named.get(Kind)?.has(Value)) return false;
    }
    return this.room(reservations) >= 1;
  }

  /**
   * Picks the generic resources for a new task; the caller stores them with the task and then calls `take`.
   */
  choose(reservations: Resources | undefined): GenericResource[] {
    const chosen: GenericResource[] = [];
    if (reservations?.GenericResources === undefined) return chosen;
    for (const [Kind, { count, names }] of wishes(reservations)) {
      for (const Value of names) chosen.push({ NamedResourceSpec: { Kind, Value } });
      const named = this.#generic?.named.get(Kind);
      if (named === undefined) {
        if (count > 0) chosen.push({ DiscreteResourceSpec: { Kind, Value: count } });
        continue;
      }
      const others = [...named].filter((name) => !names.includes(name));
      for (const Value of others.slice(0, count)) chosen.push({ NamedResourceSpec: { Kind, Value } });
    }
    return chosen;
  }

  /** Takes away what `task` reserves. */
  take(task: Claimant): void {
    this.#move(task, -1);
  }

  /** Gives back what `task` reserved. */
  give(task: Claimant): void {
    this.#move(task, 1);
  }

  /** Takes the named resources of `task` again, which another task had as well. */
  keep({ AssignedGenericResources }: Claimant): void {
    for (const { NamedResourceSpec } of stored(AssignedGenericResources)) {
      if (NamedResourceSpec) {
        this.#generic?.named.get(NamedResourceSpec.Kind)?.delete(NamedResourceSpec.Value);
      }
    }
  }

  #move(task: Claimant, sign: 1 | -1): void {
    const reservations = task.Spec.Resources?.Reservations;
    if (reservations === undefined) return;
    this.#cpu += sign * (reservations.NanoCPUs ?? 0);
    this.#memory += sign * (reservations.MemoryBytes ?? 0);
    for (const { DiscreteResourceSpec, NamedResourceSpec } of stored(task.AssignedGenericResources)) {
      const { discrete, named, totalNamed } = this.#generic ??= noAmounts();
      if (DiscreteResourceSpec) {
        const { Kind, Value } = DiscreteResourceSpec;
        discrete.set(Kind, (discrete.get(Kind) ?? 0) + sign * Value);
      } else if (NamedResourceSpec) {
        const { Kind, Value } = NamedResourceSpec;
        if (sign < 0) named.get(Kind)?.delete(Value);
        else if (totalNamed.get(Kind)?.has(Value)) named.get(Kind)?.add(Value);
      }
    }
  }
}
