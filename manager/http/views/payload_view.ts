/** How secrets and configs are shown: of a secret never what it holds. */
import type { Config, DependencyKind, Secret } from "../../../api/dependency.ts";

/** A secret or config. */
export function payloadView(kind: DependencyKind, payload: Secret | Config): Record<string, unknown> {
  const { ID, Version, CreatedAt, UpdatedAt, Edition, Spec: { Name, Labels, Data, Templating, Sealed } } =
    payload;
  const Spec = {
    Name,
    Labels,
    ...(kind === "config" && { Data }),
    ...(Templating && { Templating }),
    ...(Sealed && { Sealed }),
  };
  return { ID, Version, CreatedAt, UpdatedAt, Spec, ...(Edition && { Edition }) };
}
