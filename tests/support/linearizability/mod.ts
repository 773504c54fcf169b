/** A linearizability checker in the manner of Porcupine. */
export { checkLinearizability, type CheckResult } from "./check.ts";
export { checkKey, type KeyResult } from "./check_key.ts";
export { explain } from "./explain.ts";
export { HistoryRecorder, type Model, type Operation, type PendingOperation } from "./operation.ts";
