/** Logs of tasks, gathered from their nodes for whoever asks. */
export { LogBroker } from "./log_broker.ts";
export type { LogOptions, LogSelection, LogSubscription, ShownEntry } from "./log_subscription.ts";
