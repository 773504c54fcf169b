/** What makes entries durable and ordered. */
export * from "./consensus.ts";
export { lockFolder, type Unlock } from "./folder_lock.ts";
export * from "./state_machine.ts";
