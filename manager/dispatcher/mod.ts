/** Sessions with agents: registration, heartbeats, assignments, statuses. */
export { Dispatcher, type DispatcherOptions } from "./dispatcher.ts";
