export { type ComponentOptions } from "./commit_loop.ts";
export { ConstraintEnforcer } from "./constraint_enforcer.ts";
export { GlobalOrchestrator } from "./global_orchestrator.ts";
export { ReplicatedOrchestrator } from "./replicated_orchestrator.ts";
export { clusterOf, isTaskDirty, newTask, type Place, slotKey } from "./task.ts";
export { TaskReaper } from "./task_reaper.ts";
