/** `/metrics`, for Prometheus. */
import { type ControlApp, type ControlContext, managerForReading } from "../context.ts";
import { metricsView } from "../views/metrics_view.ts";

/** Adds the route. */
export function metricsRoutes(app: ControlApp, context: ControlContext): void {
  app.get("/metrics", async (c) => {
    const manager = await managerForReading(context);
    const text = metricsView(manager.store, (nodeID) => manager.metrics(nodeID));
    return c.body(text, 200, { "Content-Type": "text/plain; version=0.0.4; charset=utf-8" });
  });
}
