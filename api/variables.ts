/**
 * Variables: values that differ by device, for the placeholders `{{.Var.NAME}}` in services' specs and in the texts of
 * secrets and configs. A device's own value, its label `var.NAME`, counts before that of its site, and that before the
 * fleet's.
 */
import type { Meta } from "./objects.ts";

/** The values of one scope as the user set them. */
export interface VariablesSpec {
  /** See {@linkcode variableScope}. */
  Name: string;
  Values: Record<string, string>;
}

/** The values of the fleet, or of one site, as stored. */
export interface Variables extends Meta {
  Spec: VariablesSpec;
}

/** The label of a node that names its site. */
export const SITE_LABEL = "site";

/** What a node's label begins with that holds a variable of this node alone. */
export const VARIABLE_LABEL = "var.";

/** What a variable may be called: what stands behind a dot in a placeholder. */
const NAME = /^[A-Za-z_]\w{0,63}$/;

/** Whether `name` can be a variable's. */
export function isVariableName(name: string): boolean {
  return NAME.test(name);
}

/** The scope of the nodes whose site is `site`, whatever its case; that of all nodes without one. */
export function variableScope(site?: string): string {
  return site === undefined ? "fleet" : `site/${site}`;
}

/** The labels by which two nodes' variables can differ. */
export function variableLabels(labels: Record<string, string>): [string, string][] {
  return Object.entries(labels).filter(([key]) => key === SITE_LABEL || key.startsWith(VARIABLE_LABEL))
    .sort(([a], [b]) => a < b ? -1 : 1);
}
