/** Failure budgets: how many devices of a group may be without a service at a time. Pure. */
import type { Node } from "../../api/node.ts";
import type { FailureBudget } from "../../api/rollout.ts";
import { rolloutConfig } from "../../api/rollout_labels.ts";
import type { ServiceSpec } from "../../api/service.ts";
import { nodeMatches } from "./constraint.ts";
import { labelReader } from "./label.ts";

/** The devices of a service with one value of one label, `node.labels.site=berlin`. */
export interface Group {
  name: string;
  budget: FailureBudget;
}

type Spec = Pick<ServiceSpec, "Labels" | "UpdateConfig" | "TaskTemplate">;

const NONE: readonly Group[] = [];

/** The budgets of a service; most have none. */
export function budgetsOf(spec: Spec): readonly FailureBudget[] {
  return rolloutConfig(spec)?.Budgets ?? [];
}

/** The groups that `node` is in as a device of the service: none without the label, or where the service does not belong. */
export function groupsOf(spec: Spec, node: Node): readonly Group[] {
  const budgets = budgetsOf(spec);
  if (budgets.length === 0 || !nodeMatches(spec.TaskTemplate.Placement, node)) return NONE;
  return labelledGroups(budgets, node);
}

/** The groups whose labels `node` has, wherever the service belongs. */
export function labelledGroups(budgets: readonly FailureBudget[], node: Node): Group[] {
  return budgets.flatMap((budget) => {
    const value = labelReader(budget.Label)?.(node) ?? "";
    return value === "" ? [] : [{ name: `${budget.Label}=${value}`, budget }];
  });
}

/** How many of a group of `size` devices may be down. */
export function mayBeDown({ MaxDown, MaxDownPercent }: FailureBudget, size: number): number {
  return MaxDown ?? Math.floor(size * (MaxDownPercent ?? 100) / 100 + Number.EPSILON * size);
}

/** Counts a group's devices and those of them that are down. */
export class GroupCount {
  readonly #counts = new Map<string, { budget: FailureBudget; size: number; down: number }>();

  /** A device is in these groups. */
  add(groups: readonly Group[], isUp: boolean): void {
    for (const { name, budget } of groups) {
      let count = this.#counts.get(name);
      if (count === undefined) this.#counts.set(name, count = { budget, size: 0, down: 0 });
      count.size++;
      if (!isUp) count.down++;
    }
  }

  /** Why no more devices of these groups may go down, in words; undefined if one may. With `counted`, one that is counted as down. */
  fullGroup(groups: readonly Group[], counted = false): string | undefined {
    for (const { name } of groups) {
      const count = this.#counts.get(name);
      if (count === undefined) continue;
      const { budget, size, down } = count, most = mayBeDown(budget, size);
      if (down - Number(counted) >= most) {
        return `of ${name}, ${down} of ${size} are down, and ${most} may be`;
      }
    }
    return undefined;
  }

  /** A device of these groups that was up goes down. */
  takeDown(groups: readonly Group[]): void {
    for (const { name } of groups) {
      const count = this.#counts.get(name);
      if (count) count.down++;
    }
  }

  /** Groups of whose devices none may ever be down. */
  closed(): { name: string; budget: FailureBudget; size: number }[] {
    return [...this.#counts].flatMap(([name, { budget, size }]) =>
      mayBeDown(budget, size) === 0 ? [{ name, budget, size }] : []
    );
  }
}
