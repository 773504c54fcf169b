/** `depends_on` of a service in its long form: what comes first on the same node. Pure. */
import { CONDITIONS, DEPENDS_ON_LABEL } from "../../api/start_order.ts";
import { type Scope, scoped } from "./scope.ts";
import type { Section } from "./section.ts";

/** The names of `depends_on` of each service, where it is written in the long form. */
export function waitsOf(services: Section | undefined): Map<string, string[]> {
  return new Map((services?.names ?? []).map((name) => {
    const tree = services!.section(name)?.mapping.entries.get("depends_on");
    return [name, tree?.kind === "mapping" ? [...tree.entries.keys()] : []];
  }));
}

/** The label that says it; nothing where the service waits for none. */
export function dependsOnOf(scope: Scope, name: string, service: Section): Record<string, string> {
  const tree = service.tree("depends_on");
  if (tree !== undefined && tree.kind !== "mapping") {
    service.unsupported({ depends_on: "the long form, with a condition, orders starts on each node" });
    return {};
  }
  const section = service.section("depends_on");
  if (section === undefined) return {};
  const all = section.names.map((other) => {
    const each = section.section(other);
    const condition = each?.choice("condition", CONDITIONS) ?? CONDITIONS[0];
    if (each?.flag("restart")) each.unsupported({ restart: "a restart of one restarts no other" });
    if (each?.flag("required") === false) each.unsupported({ required: "leave the service out" });
    each?.end();
    if (!scope.waits.has(other)) section.refuse(other, `service ${other} is not defined under services`);
    return `${scoped(scope, other)}=${condition}`;
  });
  const circle = circleOf(scope, name);
  if (circle) {
    service.refuse("depends_on", `services wait for one another in a circle: ${circle.join(" -> ")}`);
  }
  return all.length === 0 ? {} : { [DEPENDS_ON_LABEL]: all.join(",") };
}

/** The names along a circle through service `name`, from itself back to it. */
function circleOf({ waits }: Scope, name: string): string[] | undefined {
  const seen = new Set<string>(), paths = [[name]];
  for (const path of paths) {
    for (const next of waits.get(path.at(-1)!) ?? []) {
      if (next === name) return [...path, next];
      if (!seen.has(next)) paths.push([...path, next]);
      seen.add(next);
    }
  }
  return undefined;
}
