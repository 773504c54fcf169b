/** `/secrets` and `/configs`. */
import { DEPENDENCY_KINDS } from "../../../api/dependency.ts";
import { parsePayloadSpec } from "../../../api/validate/mod.ts";
import { parseFilters } from "../../control/filters.ts";
import { listPayloads, PAYLOAD_FILTERS } from "../../control/lists.ts";
import { findPayload } from "../../control/lookup.ts";
import { createPayload, removePayload, updatePayload } from "../../control/payloads.ts";
import { addVersion } from "../../control/payload_versions.ts";
import {
  type ControlApp,
  type ControlContext,
  lookUp,
  managerForReading,
  readJSON,
  requireManager,
  sendJSON,
  updateRequest,
} from "../context.ts";
import { payloadView } from "../views/payload_view.ts";

/** Adds the routes. */
export function payloadRoutes(app: ControlApp, context: ControlContext): void {
  for (const kind of DEPENDENCY_KINDS) {
    const path = `/${kind}s`;
    app.get(path, async (c) => {
      const filters = parseFilters(c.req.query("filters"), PAYLOAD_FILTERS[kind]);
      const { store } = await managerForReading(context);
      return sendJSON(c, listPayloads(store, kind, filters).map((each) => payloadView(kind, each)));
    });
    app.post(`${path}/create`, async (c) => {
      const body = await readJSON(c);
      const { store } = requireManager(context);
      const ID = await createPayload(store, context.random, kind, parsePayloadSpec(kind, body));
      return sendJSON(c, { ID }, 201);
    });
    app.get(`${path}/:id`, async (c) => {
      const { store } = await managerForReading(context);
      return sendJSON(c, payloadView(kind, findPayload(store, kind, c.req.param("id"))));
    });
    app.post(`${path}/:id/update`, async (c) => {
      const { body, version, manager } = await updateRequest(c, context, kind);
      const { ID } = await lookUp(manager, (state) => findPayload(state, kind, c.req.param("id")));
      await updatePayload(manager.store, kind, ID, version, body);
      return c.body(null, 200);
    });
    app.post(`${path}/:id/versions`, async (c) => {
      const body = await readJSON(c);
      const manager = requireManager(context);
      const { ID } = await lookUp(manager, (state) => findPayload(state, kind, c.req.param("id")));
      return sendJSON(c, await addVersion(manager.store, context, kind, ID, body), 201);
    });
    app.delete(`${path}/:id`, async (c) => {
      const manager = requireManager(context);
      const { ID } = await lookUp(manager, (state) => findPayload(state, kind, c.req.param("id")));
      await removePayload(manager.store, kind, ID);
      return c.body(null, 204);
    });
  }
}
