/** Parts of Docker's swarm API that are not there yet: lists are empty, making one says so by name. */
import type { Hono } from "@hono/hono";
import { CoveyError } from "../../../api/errors.ts";
import { parseFilters } from "../../control/filters.ts";
import { type ControlContext, requireManager, sendJSON } from "../context.ts";

const FILTERS = ["id", "label", "name", "names"];

/** Adds the routes. */
export function unavailableRoutes(app: Hono, context: ControlContext): void {
  for (const kind of ["secret", "config"]) {
    app.get(`/${kind}s`, (c) => {
      parseFilters(c.req.query("filters"), FILTERS);
      requireManager(context);
      return sendJSON(c, []);
    });
    app.post(`/${kind}s/create`, () => notYet(context, `${kind}s`));
    app.all(`/${kind}s/:id/:verb?`, (c) => {
      requireManager(context);
      throw new CoveyError("not_found", `${kind} ${c.req.param("id")} not found`);
    });
  }
  app.get("/services/:id/logs", () => notYet(context, "service logs"));
  app.get("/tasks/:id/logs", () => notYet(context, "task logs"));
}

function notYet(context: ControlContext, what: string): never {
  requireManager(context);
  throw new CoveyError("unimplemented", `${what} are not available yet`);
}
