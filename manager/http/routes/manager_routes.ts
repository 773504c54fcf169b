/** `/covey/nodes/ID/description`: what a manager that runs no agent tells of its node. */
import { CoveyError, type FieldProblem } from "../../../api/errors.ts";
import { parseNodeDescription } from "../../../api/validate/mod.ts";
import { describeManager } from "../../control/nodes.ts";
import { type ControlApp, type ControlContext, readJSON, requireManager } from "../context.ts";

/** Adds the route. */
export function managerRoutes(app: ControlApp, context: ControlContext): void {
  app.post("/covey/nodes/:id/description", async (c) => {
    const problems: FieldProblem[] = [];
    const description = parseNodeDescription(await readJSON(c), "", problems);
    if (problems.length > 0) throw CoveyError.invalid("take the description", problems);
    await describeManager(requireManager(context).store, c.req.param("id"), description);
    return c.body(null, 200);
  });
}
