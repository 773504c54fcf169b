/** Refuses failure budgets under which devices that are there could never be updated. */
import { CoveyError, type FieldProblem } from "../../api/errors.ts";
import type { ServiceSpec } from "../../api/service.ts";
import { budgetsOf, GroupCount, groupsOf } from "../placement/budget.ts";
import type { ReadView } from "../store/store.ts";

/** Groups that a refusal names: what a person reads; they are all wrong for the same reason. */
const MAX_NAMED_GROUPS = 20;

/** Throws `invalid_argument` with every group of present nodes of which no device may ever be down. */
export function requireBudgets(view: Pick<ReadView, "all">, spec: ServiceSpec): void {
  const budgets = budgetsOf(spec);
  if (budgets.length === 0) return;
  const count = new GroupCount();
  for (const node of view.all("nodes")) count.add(groupsOf(spec, node), true);
  const problems = count.closed().slice(0, MAX_NAMED_GROUPS).map(({ name, budget, size }): FieldProblem => {
    const devices = size === 1 ? "the one device" : `the ${size} devices`;
    return {
      field: `UpdateConfig.Rollout.Budgets[${budgets.indexOf(budget)}]`,
      message:
        `${budget.MaxDownPercent} % of ${devices} of ${name} is none, so that they could never be updated`,
    };
  });
  if (problems.length > 0) throw CoveyError.invalid("use the service spec", problems);
}
