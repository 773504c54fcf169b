/** `/tasks`. */
import { parseFilters } from "../../control/filters.ts";
import { listTasks, TASK_FILTERS } from "../../control/lists.ts";
import { findTask } from "../../control/lookup.ts";
import { type ControlApp, type ControlContext, managerForReading, sendJSON } from "../context.ts";
import { taskView } from "../views/task_view.ts";

/** Adds the routes. */
export function taskRoutes(app: ControlApp, context: ControlContext): void {
  app.get("/tasks", async (c) => {
    const filters = parseFilters(c.req.query("filters"), TASK_FILTERS);
    const { store } = await managerForReading(context);
    return sendJSON(c, listTasks(store, filters).map((task) => taskView(task, store)));
  });
  app.get("/tasks/:id", async (c) => {
    const { store } = await managerForReading(context);
    return sendJSON(c, taskView(findTask(store, c.req.param("id")), store));
  });
}
