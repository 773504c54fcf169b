/** Parts of Docker's swarm API that are not there yet: asking for one says so by name. */
import { CoveyError } from "../../../api/errors.ts";
import { findService, findTask } from "../../control/lookup.ts";
import {
  type ControlApp,
  type ControlContext,
  managerForReading,
  requireManager,
  saysYes,
} from "../context.ts";

/** Adds the routes. */
export function unavailableRoutes(app: ControlApp, context: ControlContext): void {
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
