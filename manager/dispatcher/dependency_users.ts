/** Which tasks of a node need which secrets and configs. Pure. */
import { dependenciesOf, type DependencyKind } from "../../api/dependency.ts";
import type { Task } from "../../api/task.ts";

/** A thing that tasks depend on. */
export interface DependencyName {
  Kind: DependencyKind;
  ID: string;
}

/** The same for a kind's one object, and for nothing else. */
export function dependencyKey({ Kind, ID }: DependencyName): string {
  return `${Kind}/${ID}`;
}

/** Counts users by task, so that each thing is told of once and forgotten after its last user. */
export class DependencyUsers {
  readonly #users = new Map<string, Set<string>>();
  readonly #ofTask = new Map<string, DependencyName[]>();

  /** Notes that `task` needs what it references; returns what no task needed before. */
  add({ ID: taskID, Spec }: Pick<Task, "ID" | "Spec">): DependencyName[] {
    if (this.#ofTask.has(taskID)) return [];
    const needed = neededBy(Spec);
    if (needed.length === 0) return [];
    this.#ofTask.set(taskID, needed);
    return needed.filter((each) => {
      const key = dependencyKey(each), users = this.#users.get(key);
      if (users) users.add(taskID);
      else this.#users.set(key, new Set([taskID]));
      return users === undefined;
    });
  }

  /** Notes what a task needs now, which was told of before; returns what no task needed before, and what now none needs. */
  change(task: Pick<Task, "ID" | "Spec">): { added: DependencyName[]; gone: DependencyName[] } {
    const before = this.release(task.ID), added = this.add(task);
    const has = (list: DependencyName[], name: DependencyName) =>
      list.some((each) => dependencyKey(each) === dependencyKey(name));
    return {
      added: added.filter((each) => !has(before, each)),
      gone: before.filter((each) => !has(added, each)),
    };
  }

  /** Whether a task needs it. */
  has(name: DependencyName): boolean {
    return this.#users.has(dependencyKey(name));
  }

  /** Notes that a task needs nothing any more; returns what now no task needs. */
  release(taskID: string): DependencyName[] {
    const needed = this.#ofTask.get(taskID) ?? [];
    this.#ofTask.delete(taskID);
    return needed.filter((each) => {
      const key = dependencyKey(each), users = this.#users.get(key);
      users?.delete(taskID);
      return users?.size === 0 && this.#users.delete(key);
    });
  }
}

function neededBy(spec: Task["Spec"]): DependencyName[] {
  const names = dependenciesOf(spec).map(({ Kind, ID }): DependencyName => ({ Kind, ID }));
  return [...new Map(names.map((each) => [dependencyKey(each), each])).values()];
}
