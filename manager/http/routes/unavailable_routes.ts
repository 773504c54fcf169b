/** Parts of Docker's swarm API that are not there yet: asking for one says so by name. */
import type { Hono } from "@hono/hono";
import { CoveyError } from "../../../api/errors.ts";
import { type ControlContext, requireManager } from "../context.ts";

/** Adds the routes. */
export function unavailableRoutes(app: Hono, context: ControlContext): void {
  app.get("/services/:id/logs", () => notYet(context, "service logs"));
  app.get("/tasks/:id/logs", () => notYet(context, "task logs"));
}

function notYet(context: ControlContext, what: string): never {
  requireManager(context);
  throw new CoveyError("unimplemented", `${what} are not available yet`);
}
