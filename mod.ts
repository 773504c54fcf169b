/**
 * Covey's public face: the object model, the executor contract for executors of your own, and the client of the control API.
 *
 * @module
 */
export * from "./api/mod.ts";
export type {
  Capabilities,
  Capability,
  Controller,
  Executor,
  ExecutorContext,
  ExecutorDescription,
  ExecutorFactory,
  Exit,
  Handle,
  Sweeper,
} from "./executors/executor.ts";
export { ControlClient } from "./cli/client.ts";
