/** Sessions with agents: registration, heartbeats, assignments, statuses. */
export { Dispatcher, type DispatcherOptions } from "./dispatcher.ts";
export { type Asker, AskTable, type OpenAsk, type Reach } from "./asks.ts";
