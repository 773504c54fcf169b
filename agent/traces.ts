/** What a task has on its node: who runs it, how that is ended, and what is left of it removed. */
import { CoveyError } from "../api/errors.ts";
import type { Task } from "../api/task.ts";
import { getLogger } from "../api/log.ts";
import { afterError } from "./advance.ts";
import { can, type Controller, type Executor } from "../executors/executor.ts";

/** Tries to remove a task's traces before they are left to the executor's sweep; ten minutes or so. */
const MAX_REMOVE_ATTEMPTS = 20;

const log = getLogger(["covey", "agent"]);

/** The executor of `task`. Throws `unimplemented` where the node has none. */
export function requireExecutor(executor: Executor | undefined, { Spec }: Task): Executor {
  if (executor) return executor;
  throw new CoveyError("unimplemented", `Cannot run the task: no executor for runtime ${Spec.Runtime}`);
}

/** Removes traces by the controller that `find` makes or finds; true when that is over. Throws what may go better later. */
export async function removeTraces(
  { executor, taskID, number }: { executor: Executor | undefined; taskID: string; number: number },
  find: () => Promise<Controller | undefined>,
  signal: AbortSignal,
): Promise<true> {
  if (!executor) return true;
  let controller: Controller | undefined;
  try {
    controller = await find();
    await controller?.remove(signal);
    return true;
  } catch (thrown) {
    if (signal.aborted) throw thrown;
    const { message, retryable } = CoveyError.from(thrown);
    if (retryable && !(can(executor, "sweep") && number >= MAX_REMOVE_ATTEMPTS)) throw thrown;
    // A task that never had a controller has left nothing; for the rest there is the sweep.
    if (controller) log.warn("Gave up the removal of task {id}: {message}", { id: taskID, message });
    return true;
  }
}

/** Stops the program, by force if it cannot be asked to. Throws what may go better later. */
export async function stopProgram(controller: Controller | undefined, signal: AbortSignal): Promise<void> {
  try {
    await controller?.shutdown(signal);
  } catch (thrown) {
    if (signal.aborted || afterError("shutdown", thrown).state === undefined) throw thrown;
    await controller?.terminate(signal).catch(() => {});
  }
}
