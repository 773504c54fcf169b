/** A task as it is run: its placeholders filled in, and with what the node adds. */
import type { Task } from "../api/task.ts";
import { expandTask, hasTemplates } from "../api/task_template.ts";
import type { TaskEnvironment } from "./task_environment.ts";

/** `task` as its executor gets it. */
export async function fullTask(
  task: Task,
  { node, outfit }: Pick<TaskEnvironment, "node" | "outfit">,
): Promise<Task> {
  const full = hasTemplates(task) ? expandTask(task, await node()) : task;
  return await outfit?.(full) ?? full;
}
