/** `/tasks`. */
import { parseFilters } from "../../control/filters.ts";
import { listTasks, TASK_FILTERS } from "../../control/lists.ts";
import { findTask } from "../../control/lookup.ts";
import { type ControlApp, type ControlContext, managerForReading, sendText, sendTexts } from "../context.ts";
import type { RenderedObjects } from "../rendered.ts";
import { taskView } from "../views/task_view.ts";

/** Adds the routes. */
export function taskRoutes(app: ControlApp, context: ControlContext, rendered: RenderedObjects): void {
  app.get("/tasks", async (c) => {
    const filters = parseFilters(c.req.query("filters"), TASK_FILTERS);
    const { store } = await managerForReading(context);
    return sendTexts(c, listTasks(store, filters).map((task) => rendered.text(task, taskView)));
  });
  app.get("/tasks/:id", async (c) => {
    const { store } = await managerForReading(context);
    return sendText(c, rendered.text(findTask(store, c.req.param("id")), taskView));
  });
}
