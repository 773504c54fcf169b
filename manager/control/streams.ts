/** Opens streams into tasks for who may. */
import type { StreamRequest } from "../../api/streams.ts";
import type { StreamBroker } from "../broker/mod.ts";
import type { ReadView } from "../store/store.ts";
import { type Caller, requireRight } from "./caller.ts";
import { findTask } from "./lookup.ts";

/**
 * See {@linkcode StreamBroker.open}. Throws `permission_denied` unless `caller` rules the cluster: whoever is inside a task has
 * what it has, its secrets included.
 */
export async function* openTaskStream(
  { view, streams }: { view: ReadView; streams: StreamBroker },
  { TaskID, Use }: StreamRequest,
  caller: Caller,
  fromClient: AsyncIterable<unknown>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void> {
  requireRight(caller, "administer");
  yield* streams.open(findTask(view, TaskID), Use, caller.Name, fromClient, signal);
}
