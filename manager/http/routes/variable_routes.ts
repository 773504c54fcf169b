/** `/variables`: an extension of the Engine API. */
import { parseVariablesChange } from "../../../api/validate/mod.ts";
import { changeVariables } from "../../control/variables.ts";
import {
  type ControlApp,
  type ControlContext,
  managerForReading,
  readJSON,
  requireManager,
  sendJSON,
} from "../context.ts";

/** Adds the routes. */
export function variableRoutes(app: ControlApp, context: ControlContext): void {
  app.get("/variables", async (c) => {
    const { store } = await managerForReading(context);
    return sendJSON(c, store.all("variables"));
  });
  app.post("/variables/update", async (c) => {
    const change = parseVariablesChange(await readJSON(c));
    const { store } = requireManager(context);
    return sendJSON(c, await changeVariables(store, context.random, change));
  });
}
