/** What clients want of tasks on their nodes: logs, gathered and put in order, and streams. */
export { LogBroker } from "./log_broker.ts";
export type { LogOptions, LogSelection, LogSubscription, ShownEntry } from "./log_subscription.ts";
export { StreamBroker, type StreamUsage } from "./stream_broker.ts";
