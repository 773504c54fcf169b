export { whyRefused } from "./judge_node.ts";
export { Scheduler } from "./scheduler.ts";
