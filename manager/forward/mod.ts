/** The way of requests to the leader. */
export { Routing, type RoutingOptions } from "./routing.ts";
export type { ControlRequest } from "./control_messages.ts";
export type { Answer } from "./control_server.ts";
