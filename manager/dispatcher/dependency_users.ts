/** Which tasks of a node need which secrets, configs and networks. Pure. */
import { dependenciesOf, type DependencyKind } from "../../api/dependency.ts";
import type { Task } from "../../api/task.ts";

/** A thing that tasks depend on. */
export interface DependencyName {
  Kind: DependencyKind | "network";
  ID: string;
}

/** The same for a kind's one object, and for nothing else. */
function dependencyKey({ Kind, ID }: DependencyName): string {
  return `${Kind}/${ID}`;
}

/** What a task needs, in the order in which it is told of. */
export function neededBy(
  { Spec, NetworkAttachments = [] }: Pick<Task, "Spec" | "NetworkAttachments">,
): DependencyName[] {
  return [
    ...dependenciesOf(Spec).map(({ Kind, ID }) => ({ Kind, ID })),
    ...NetworkAttachments.map(({ NetworkID }) => ({ Kind: "network" as const, ID: NetworkID })),
  ];
}

/** Counts users, so that each thing is told of once and forgotten after its last user. */
export class DependencyUsers {
  readonly #users = new Map<string, Set<string>>();
  readonly #ofUser = new Map<string, DependencyName[]>();

  /** True if anybody needs it. */
  has(thing: DependencyName): boolean {
    return this.#users.has(dependencyKey(thing));
  }

  /** Notes that `user`, which is new, needs `things`; returns what nobody needed before. */
  add(user: string, things: readonly DependencyName[]): DependencyName[] {
    if (this.#ofUser.has(user)) return [];
    const needed = [...new Map(things.map((each) => [dependencyKey(each), each])).values()];
    if (needed.length === 0) return [];
    this.#ofUser.set(user, needed);
    return needed.filter((each) => {
      const key = dependencyKey(each), users = this.#users.get(key);
      if (users) users.add(user);
      else this.#users.set(key, new Set([user]));
      return users === undefined;
    });
  }

  /** Notes what a user needs now, which was told of before; returns what nobody needed before, and what now nobody needs. */
  change(
    user: string,
    things: readonly DependencyName[],
  ): { added: DependencyName[]; gone: DependencyName[] } {
    const before = this.release(user), added = this.add(user, things);
    const has = (list: DependencyName[], name: DependencyName) =>
      list.some((each) => dependencyKey(each) === dependencyKey(name));
    return {
      added: added.filter((each) => !has(before, each)),
      gone: before.filter((each) => !has(added, each)),
    };
  }

  /** Notes that a user needs nothing any more; returns what now nobody needs. */
  release(user: string): DependencyName[] {
    const needed = this.#ofUser.get(user) ?? [];
    this.#ofUser.delete(user);
    return needed.filter((each) => {
      const key = dependencyKey(each), users = this.#users.get(key);
      users?.delete(user);
      return users?.size === 0 && this.#users.delete(key);
    });
  }
}
