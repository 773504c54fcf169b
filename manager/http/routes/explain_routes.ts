/** `/services/{id}/explain`, and the same for nodes and tasks: an extension of the Engine API. */
import { explainNode, explainService, explainTask } from "../../control/explain/explain.ts";
import { findNode, findService, findTask } from "../../control/lookup.ts";
import { type ControlApp, type ControlContext, managerForReading, sendJSON } from "../context.ts";

/** Adds the routes. */
export function explainRoutes(app: ControlApp, context: ControlContext): void {
  const now = () => context.clock.now();
  app.get("/services/:id/explain", async (c) => {
    const { store } = await managerForReading(context);
    return sendJSON(c, explainService(store, findService(store, c.req.param("id")), now()));
  });
  app.get("/nodes/:id/explain", async (c) => {
    const { store } = await managerForReading(context);
    return sendJSON(c, explainNode(store, findNode(store, c.req.param("id")), now()));
  });
  app.get("/tasks/:id/explain", async (c) => {
    const { store } = await managerForReading(context);
    return sendJSON(c, explainTask(store, findTask(store, c.req.param("id")), now()));
  });
}
