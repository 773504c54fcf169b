/** What makes entries durable and ordered. */
export * from "./consensus.ts";
export { handedToFollower, isNotLeading, notLeading } from "./not_leading.ts";
export * from "./state_machine.ts";
