/** `/secrets` and `/configs`. */
import { DEPENDENCY_KINDS } from "../../../api/dependency.ts";
import { parsePayloadSpec, parseSealing, parseSeals } from "../../../api/validate/mod.ts";
import { parseFilters } from "../../control/filters.ts";
import { listPayloads, PAYLOAD_FILTERS } from "../../control/lists.ts";
import { findPayload } from "../../control/lookup.ts";
import { createPayload, removePayload, sealPayload, updatePayload } from "../../control/payloads.ts";
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
import { requireKnowsTemplates } from "../older_clients.ts";
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
      requireKnowsTemplates(c.req.raw.url, kind, body);
      const spec = parsePayloadSpec(kind, body);
      const ID = await createPayload(store, context.random, kind, spec, parseSeals(body));
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
      return sendJSON(c, await addVersion(manager.store, context, kind, ID, body, parseSeals(body)), 201);
    });
    if (kind === "secret") sealRoutes(app, context);
    app.delete(`${path}/:id`, async (c) => {
      const manager = requireManager(context);
      const { ID } = await lookUp(manager, (state) => findPayload(state, kind, c.req.param("id")));
      await removePayload(manager.store, kind, ID);
      return c.body(null, 204);
    });
  }
}

/** For which nodes a secret is sealed, and seals for further ones: an extension of the Engine API. */
function sealRoutes(app: ControlApp, context: ControlContext): void {
  app.get("/secrets/:id/seals", async (c) => {
    const { store } = await managerForReading(context);
    const { ID, Spec } = findPayload(store, "secret", c.req.param("id"));
    const seals = store.find("seals", "secretID", ID).filter(({ SealID }) => SealID === Spec.Sealed?.ID);
    return sendJSON(c, seals.map(({ NodeID, PublicKeyDigest }) => ({ NodeID, PublicKeyDigest })));
  });
  app.post("/secrets/:id/seals", async (c) => {
    const body = await readJSON(c);
    const manager = requireManager(context);
    const { ID, Spec } = await lookUp(manager, (state) => findPayload(state, "secret", c.req.param("id")));
    await sealPayload(manager.store, ID, parseSealing(body, Spec), parseSeals(body));
    return c.body(null, 204);
  });
}
