/** What makes entries durable and ordered. */
export * from "./consensus.ts";
export { lockFolder, type Unlock } from "./disk/folder_lock.ts";
export { isNotLeading, notLeading } from "./not_leading.ts";
export * from "./state_machine.ts";
