/** The object model, task states, wire messages and errors. */
export * from "./ca.ts";
export * from "./clock.ts";
export * from "./cluster.ts";
export * from "./container_spec.ts";
export * from "./dispatcher.ts";
export * from "./errors.ts";
export * from "./node.ts";
export * from "./objects.ts";
export * from "./random.ts";
export * from "./service.ts";
export * from "./task.ts";
export * from "./task_state.ts";
