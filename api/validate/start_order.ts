/** Checks what a service waits for, as far as its own spec tells. */
import type { FieldProblem } from "../errors.ts";
import type { ServiceSpec } from "../service.ts";
import {
  DEPENDS_ON_LABEL,
  dependsOn,
  dependsOnField,
  dependsOnLabelProblems,
  foldedName,
  MAX_DEPENDS_ON,
} from "../start_order.ts";

/** Notes what is wrong with what `spec` waits for. What there is of other services is the manager's to know. */
export function checkStartOrder(spec: ServiceSpec, problems: FieldProblem[]): void {
  const label = `Labels.${DEPENDS_ON_LABEL}`, field = dependsOnField(spec);
  problems.push(...dependsOnLabelProblems(spec).map((message) => ({ field: label, message })));
  const seen = new Set<string>(), all = dependsOn(spec);
  if (all.length > MAX_DEPENDS_ON) {
    problems.push({ field, message: `names ${all.length} services, at most ${MAX_DEPENDS_ON} are allowed` });
  }
  for (const [index, { Service }] of all.entries()) {
    const at = field === label ? field : `${field}[${index}].Service`, name = foldedName(Service);
    if (name === foldedName(spec.Name)) {
      problems.push({ field: at, message: `service ${spec.Name} cannot wait for itself` });
    } else if (seen.has(name)) {
      problems.push({ field: at, message: `service ${Service} is waited for already` });
    }
    seen.add(name);
  }
}
