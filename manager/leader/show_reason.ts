/** Shows on an object why a component set it aside, where the object has a field for that that the manager owns. */
import { timestamp } from "../../api/clock.ts";
import { compareStates } from "../../api/task_state.ts";
import type { WriteTransaction } from "../store/store.ts";
import { withStatus } from "../task/task.ts";
import type { ComponentOptions } from "./commit_loop.ts";
import type { ShowReason } from "./work_list.ts";

/** In `Status.Err` of a task that no node has yet; from then on its agent owns the status. */
export function showOnTask(options: ComponentOptions): ShowReason {
  return write(options, (tx, id, reason, at) => {
    const task = tx.get("tasks", id);
    if (task === undefined || compareStates(task.Status.State, "assigned") >= 0) return;
    if (task.Status.Err === reason) return;
    tx.update("tasks", withStatus(task, at, task.Status.State, task.Status.Message, reason));
  });
}

/** In `UpdateStatus.Message` of a service whose update is in progress; others have no such field. */
export function showOnService(options: ComponentOptions): ShowReason {
  return write(options, (tx, id, reason) => {
    const service = tx.get("services", id);
    const status = service?.UpdateStatus;
    if (service === undefined || (status?.State !== "updating" && status?.State !== "rollback_started")) {
      return;
    }
    if (status.Message !== reason) {
      tx.update("services", { ...service, UpdateStatus: { ...status, Message: reason } });
    }
  });
}

function write(
  { store, clock }: ComponentOptions,
  callback: (tx: WriteTransaction, id: string, reason: string, at: string) => void,
): ShowReason {
  return (id, reason) => {
    const at = timestamp(clock);
    // It stands in the log already, and is shown again by the next leader.
    store.update((tx) => callback(tx, id, reason, at)).catch(() => {});
  };
}
