import { newID, systemRandom } from "../../api/random.ts";
import type { TaskSpec } from "../../api/service.ts";
import type { Task } from "../../api/task.ts";

/** The node that the tests' tasks are on. */
export const NODE_ID = newID(systemRandom);

/** A task with a new ID, as a manager would hand it out. */
export function taskWith(spec: Partial<TaskSpec>): Task {
  const now = new Date().toISOString();
  return {
    ID: newID(systemRandom),
    Version: { Index: 1 },
    CreatedAt: now,
    UpdatedAt: now,
    Spec: { ForceUpdate: 0, Runtime: "container", ...spec },
    ServiceID: newID(systemRandom),
    ServiceAnnotations: { Name: "covey-test", Labels: {} },
    Slot: 1,
    NodeID: NODE_ID,
    Status: { Timestamp: now, State: "assigned", Message: "" },
    DesiredState: "running",
  };
}
