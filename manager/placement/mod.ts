export { nodeMatches } from "./constraint.ts";
export { labelReader } from "./label.ts";
export { NodeResources } from "./node_resources.ts";
export { platformMatches } from "./platform.ts";
