export { nodeMatches } from "./constraint.ts";
export { NodeResources } from "./node_resources.ts";
