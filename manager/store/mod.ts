/** The state store. */
export { createStore, type StoreOptions } from "./memory_store.ts";
export * from "./store.ts";
export * from "./tables.ts";
