export { type Constraint, meetsConstraints, nodeMatches, parseConstraints } from "./constraint.ts";
export { NodeResources } from "./node_resources.ts";
