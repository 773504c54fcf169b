/** What a node has left to promise. Only reservations count, never limits or real usage. */
import type { GenericResource, Resources } from "../../api/objects.ts";
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

function* wantedKinds(reservations: Resources): Generator<[kind: string, count: number]> {
  for (const { DiscreteResourceSpec, NamedResourceSpec } of stored(reservations.GenericResources)) {
    if (DiscreteResourceSpec) yield [DiscreteResourceSpec.Kind, DiscreteResourceSpec.Value];
    else if (NamedResourceSpec) yield [NamedResourceSpec.Kind, 1];
  }
}

/** The free resources of one node. A negative amount means that the node promised more than it (now) has. */
export class NodeResources {
  #cpu: number;
  #memory: number;
  #discrete = new Map<string, number>();
  #named = new Map<string, Set<string>>();
  #totalNamed = new Map<string, Set<string>>();

  constructor(total: Resources | undefined) {
    this.#cpu = total?.NanoCPUs ?? 0;
    this.#memory = total?.MemoryBytes ?? 0;
    for (const { DiscreteResourceSpec, NamedResourceSpec } of stored(total?.GenericResources)) {
      if (DiscreteResourceSpec) {
        const { Kind, Value } = DiscreteResourceSpec;
        this.#discrete.set(Kind, (this.#discrete.get(Kind) ?? 0) + Value);
      } else if (NamedResourceSpec) {
        const { Kind, Value } = NamedResourceSpec;
        for (const sets of [this.#named, this.#totalNamed]) {
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
    for (const [kind, count] of wantedKinds(reservations)) {
      limit(this.#named.get(kind)?.size ?? this.#discrete.get(kind) ?? 0, count);
    }
    return room;
  }

  /** True if exactly what `task` reserved (named resources included) is still free. */
  fits(task: Claimant): boolean {
    const reservations = task.Spec.Resources?.Reservations;
    for (const { NamedResourceSpec } of stored(task.AssignedGenericResources)) {
      if (!NamedResourceSpec) continue;
      const { Kind, Value } = NamedResourceSpec;
      if (!this.#named.get(Kind)?.has(Value)) return false;
    }
    return this.room(reservations) >= 1;
  }

  /**
   * Picks the generic resources for a new task; the caller stores them with the task and then calls `take`.
   */
  choose(reservations: Resources | undefined): GenericResource[] {
    const chosen: GenericResource[] = [];
    for (const [Kind, count] of wantedKinds(reservations ?? {})) {
      const named = this.#named.get(Kind);
      if (named === undefined) {
        chosen.push({ DiscreteResourceSpec: { Kind, Value: count } });
      } else {
        for (const Value of [...named].slice(0, count)) chosen.push({ NamedResourceSpec: { Kind, Value } });
      }
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
      if (NamedResourceSpec) this.#named.get(NamedResourceSpec.Kind)?.delete(NamedResourceSpec.Value);
    }
  }

  #move(task: Claimant, sign: 1 | -1): void {
    const reservations = task.Spec.Resources?.Reservations;
    if (reservations === undefined) return;
    this.#cpu += sign * (reservations.NanoCPUs ?? 0);
    this.#memory += sign * (reservations.MemoryBytes ?? 0);
    for (const { DiscreteResourceSpec, NamedResourceSpec } of stored(task.AssignedGenericResources)) {
      if (DiscreteResourceSpec) {
        const { Kind, Value } = DiscreteResourceSpec;
        this.#discrete.set(Kind, (this.#discrete.get(Kind) ?? 0) + sign * Value);
      } else if (NamedResourceSpec) {
        const { Kind, Value } = NamedResourceSpec;
        if (sign < 0) this.#named.get(Kind)?.delete(Value);
        else if (this.#totalNamed.get(Kind)?.has(Value)) this.#named.get(Kind)?.add(Value);
      }
    }
  }
}
