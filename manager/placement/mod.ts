export { type Constraint, meetsConstraints, nodeMatches, parseConstraints } from "./constraint.ts";
export { platformMatches, sameArchitecture } from "./platform.ts";
export { NodeResources } from "./node_resources.ts";
