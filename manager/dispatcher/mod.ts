/** The dispatcher: the managers' side of the agents' sessions. */
export { Dispatcher, type DispatcherOptions } from "./dispatcher.ts";
