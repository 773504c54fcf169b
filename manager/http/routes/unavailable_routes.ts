/** Parts of Docker's swarm API that are not there yet: lists are empty, making one says so by name. */
import { CoveyError } from "../../../api/errors.ts";
import { parseFilters } from "../../control/filters.ts";
import { findService, findTask } from "../../control/lookup.ts";
import {
  type ControlApp,
  type ControlContext,
  managerForReading,
  requireManager,
  saysYes,
  sendJSON,
} from "../context.ts";

const FILTERS = ["id", "label", "name", "names"];

/** Adds the routes. */
export function unavailableRoutes(app: ControlApp, context: ControlContext): void {
  for (const kind of ["secret", "config"]) {
    app.get(`/${kind}s`, (c) => {
      parseFilters(c.req.query("filters"), FILTERS);
      requireManager(context);
      return sendJSON(c, []);
    });
    app.post(`/${kind}s/create`, () => notYet(context, `${kind}s`));
    app.post(`/${kind}s/:id/update`, (c) => {
      if (!/^\d+$/.test(c.req.query("version") ?? "")) {
        throw new CoveyError("invalid_argument", `invalid ${kind} version`);
      }
      requireManager(context);
      throw new CoveyError("not_found", `${kind} ${c.req.param("id")} not found`);
    });
    app.all(`/${kind}s/:id/:verb?`, (c) => {
      requireManager(context);
      throw new CoveyError("not_found", `${kind} ${c.req.param("id")} not found`);
    });
  }
  for (const [kind, find] of [["service", findService], ["task", findTask]] as const) {
    app.get(`/${kind}s/:id/logs`, async (c) => {
      if (!saysYes(c, "stdout") && !saysYes(c, "stderr")) {
        throw new CoveyError("invalid_argument", "Bad parameters: you must choose at least one stream");
      }
      find((await managerForReading(context)).store, c.req.param("id"));
      return notYet(context, `${kind} logs`);
    });
  }
}

function notYet(context: ControlContext, what: string): never {
  requireManager(context);
  throw new CoveyError("unimplemented", `${what} are not available yet`);
}
