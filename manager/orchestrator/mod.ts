export { type ComponentOptions } from "../leader/commit_loop.ts";
export { ConstraintEnforcer } from "../cleaner/constraint_enforcer.ts";
export { GlobalOrchestrator } from "./global_orchestrator.ts";
export { GlobalJobOrchestrator } from "./jobs/global_job_orchestrator.ts";
export { ReplicatedJobOrchestrator } from "./jobs/replicated_job_orchestrator.ts";
export { ReplicatedOrchestrator } from "./replicated_orchestrator.ts";
export { isTaskDirty, newTask, type Place } from "../task/task.ts";
export { TaskReaper } from "../cleaner/task_reaper.ts";
export { VersionReaper } from "../cleaner/version_reaper.ts";
