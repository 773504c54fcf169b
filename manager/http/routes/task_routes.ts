/** `/tasks`. */
import type { Task } from "../../../api/task.ts";
import { parseFilters } from "../../control/filters.ts";
import { listTasks, TASK_FILTERS } from "../../control/lists.ts";
import { findTask } from "../../control/lookup.ts";
import { type ControlApp, type ControlContext, managerForReading, sendText, sendTexts } from "../context.ts";
import type { ReadView } from "../../store/store.ts";
import { jsonOf, type RenderedObjects } from "../rendered.ts";
import { taskView } from "../views/task_view.ts";

/** Adds the routes. */
export function taskRoutes(app: ControlApp, context: ControlContext, rendered: RenderedObjects): void {
  app.get("/tasks", async (c) => {
    const filters = parseFilters(c.req.query("filters"), TASK_FILTERS);
    const { store } = await managerForReading(context);
    return sendTexts(c, listTasks(store, filters).map((task) => textOf(task, store, rendered)));
  });
  app.get("/tasks/:id", async (c) => {
    const { store } = await managerForReading(context);
    return sendText(c, textOf(findTask(store, c.req.param("id")), store, rendered));
  });
}

/** The JSON of a task. What shows networks is made of more than the task, and not kept. */
function textOf(task: Task, store: ReadView, rendered: RenderedObjects): string {
  if (task.NetworkAttachments === undefined) return rendered.text(task, taskView);
  return jsonOf(taskView(task, (id) => store.get("networks", id)));
}
