/** Whether what a service waits for on its nodes can ever come: known services, and no circles. */
import { CoveyError, type FieldProblem } from "../../api/errors.ts";
import { isJob, type ServiceSpec } from "../../api/service.ts";
import { dependsOn, dependsOnField, foldedName } from "../../api/start_order.ts";
import type { ReadView } from "../store/store.ts";

/** The label that clients give to all services of a stack, which they make in any order. */
const STACK_LABEL = "com.docker.stack.namespace";

/** Throws `invalid_argument` with everything that keeps what `spec` waits for from coming true. */
export function requireStartOrder(view: ReadView, spec: ServiceSpec): void {
  const all = dependsOn(spec);
  if (all.length === 0) return;
  const problems: FieldProblem[] = [], field = dependsOnField(spec), isList = field.startsWith("Task");
  for (const [index, { Service, Condition }] of all.entries()) {
    const at = isList ? `${field}[${index}].Service` : field, other = specOf(view, Service);
    if (other === undefined) {
      if (!isOfSameStack(spec, Service)) {
        problems.push({ field: at, message: `service ${Service} not found` });
      }
    } else if (Condition === "service_completed_successfully" && !mayComplete(other)) {
      const message = `service ${Service} never completes: it is no job, and is run again whenever it ends`;
      problems.push({ field: isList ? `${field}[${index}].Condition` : field, message });
    }
  }
  const circle = circleThrough(view, spec);
  if (circle !== undefined) {
    problems.push({ field, message: `services wait for one another in a circle: ${circle.join(" -> ")}` });
  }
  if (problems.length > 0) throw CoveyError.invalid("use the service spec", problems);
}

function specOf(view: ReadView, name: string): ServiceSpec | undefined {
  return view.find("services", "name", foldedName(name))[0]?.Spec;
}

/** It may be made right after this one. */
function isOfSameStack({ Labels }: ServiceSpec, name: string): boolean {
  const stack = Labels[STACK_LABEL];
  return stack !== undefined && name.startsWith(`${stack}_`);
}

function mayComplete(spec: ServiceSpec): boolean {
  return isJob(spec) || (spec.TaskTemplate.RestartPolicy?.Condition ?? "any") !== "any";
}

/** The names along a circle that `spec` would close, from its own back to it. */
function circleThrough(view: ReadView, spec: ServiceSpec): string[] | undefined {
  const goal = foldedName(spec.Name), seen = new Set<string>();
  const paths: string[][] = dependsOn(spec).map(({ Service }) => [spec.Name, Service]);
  for (const path of paths) {
    const last = path.at(-1)!, name = foldedName(last);
    // One that waits for itself has been told of already.
    if (name === goal) {
      if (path.length > 2) return path;
      continue;
    }
    if (seen.has(name)) continue;
    seen.add(name);
    const next = specOf(view, last);
    if (next !== undefined) paths.push(...dependsOn(next).map(({ Service }) => [...path, Service]));
  }
  return undefined;
}
