/** Sessions with agents: registration, heartbeats, assignments, statuses. */
export { DEFAULT_HEARTBEAT_MS, Dispatcher, type DispatcherOptions } from "./dispatcher.ts";
