/** `/services`. */
import type { Context } from "@hono/hono";
import { CoveyError } from "../../../api/errors.ts";
import type { Service, ServiceSpec } from "../../../api/service.ts";
import { parseServiceSpec } from "../../../api/validate/mod.ts";
import { parseFilters } from "../../control/filters.ts";
import { listServices, SERVICE_FILTERS } from "../../control/lists.ts";
import { findService } from "../../control/lookup.ts";
import { controlRollout, ROLLOUT_ACTIONS, rolloutView } from "../../control/rollouts.ts";
import { serviceStatus } from "../../control/service_status.ts";
import { freeName } from "../../control/service_name.ts";
import { refuseClusterPorts, relayWarnings } from "../../control/service_networks.ts";
import { createService, removeService, rollbackService, updateService } from "../../control/services.ts";
import type { Store } from "../../store/mod.ts";
import { isBefore, pathOf } from "../api_version.ts";
import {
  type ControlApp,
  type ControlContext,
  flagParameter,
  isDockerClient,
  lookUp,
  managerForReading,
  readJSON,
  requireManager,
  sendJSON,
  sendText,
  sendTexts,
  updateRequest,
} from "../context.ts";
import { keptAuth, registryAuth, withAuth } from "../registry_auth.ts";
import { withNetworks } from "../service_networks.ts";
import { asRequested, knowsJobs } from "../older_clients.ts";
import type { RenderedObjects, View } from "../rendered.ts";
import { containerServiceView, plainServiceView, serviceView } from "../views/service_view.ts";

/** How the client of a request is shown services, unless it asks for more. */
function viewFor(c: Context): View<Service> {
  return isDockerClient(c) ? containerServiceView : plainServiceView;
}

/** What a request's body means, by a client of its version; `current` is the present spec of a service that it changes. */
async function requestedSpec(
  c: Context,
  { engine, random }: ControlContext,
  store: Store,
  body: unknown,
  current?: ServiceSpec,
): Promise<ServiceSpec> {
  const parsed = parseServiceSpec(body, {
    ...(current && { current }),
    // Who leaves the name out of an update asks for another, to Docker.
    newName: () => freeName(store, random),
    withJobs: knowsJobs(c.req.raw.url),
  });
  return asRequested(c.req.raw.url, await withNetworks(parsed, store, engine));
}

async function create(c: Context, context: ControlContext): Promise<Response> {
  const body = await readJSON(c);
  const { store, consensus } = requireManager(context), { random, clock } = context, auth = registryAuth(c);
  const spec = await requestedSpec(c, context, store, body);
  refuseClusterPorts(store, spec, consensus.status());
  const ID = await createService(store, { clock, random }, withAuth(spec, auth));
  const warnings = relayWarnings(store, spec);
  return sendJSON(c, { ID, ...(warnings.length > 0 && { Warnings: warnings }) }, 201);
}

/** Adds the routes. */
export function serviceRoutes(app: ControlApp, context: ControlContext, rendered: RenderedObjects): void {
  app.get("/services", async (c) => {
    const filters = parseFilters(c.req.query("filters"), SERVICE_FILTERS);
    const withStatus = !isBefore(pathOf(c.req.raw.url), "1.41") && flagParameter(c, "status");
    const { store } = await managerForReading(context);
    const services = listServices(store, filters);
    const view = viewFor(c);
    if (!withStatus) return sendTexts(c, services.map((service) => rendered.text(service, view)));
    const asContainer = isDockerClient(c);
    const shown = services.map((each) =>
      serviceView(each, { asContainer, status: serviceStatus(store, each) })
    );
    return sendJSON(c, shown);
  });
  app.post("/services/create", (c) => create(c, context));
  app.get("/services/:id", async (c) => {
    const defaults = flagParameter(c, "insertDefaults");
    const { store } = await managerForReading(context);
    const service = findService(store, c.req.param("id"));
    if (!defaults) return sendText(c, rendered.text(service, viewFor(c)));
    return sendJSON(c, serviceView(service, { defaults, asContainer: isDockerClient(c) }));
  });
  app.post("/services/:id/update", async (c) => {
    const { body, version, manager } = await updateRequest(c, context, "service");
    const rollback = c.req.query("rollback") ?? "";
    const auth = registryAuth(c);
    const { store, consensus } = manager;
    const service = await lookUp(manager, (state) => findService(state, c.req.param("id")));
    // What is wrong with a request is told in Docker's order.
    const spec = rollback === "previous"
      ? undefined
      : await requestedSpec(c, context, store, body, service.Spec);
    const kept = auth ?? keptAuth(c.req.query("registryAuthFrom") ?? "", service);
    if (spec !== undefined) refuseClusterPorts(store, spec, consensus.status());
    if (spec === undefined) await rollbackService(store, context.clock, service.ID, version);
    else if (rollback !== "" && rollback !== "none") {
      throw new CoveyError("unknown", `unrecognized rollback option ${rollback}`);
    } else await updateService(store, context.clock, service.ID, version, withAuth(spec, kept));
    const warnings = spec === undefined ? [] : relayWarnings(store, spec);
    return sendJSON(c, { Warnings: warnings.length > 0 ? warnings : null });
  });
  app.get("/services/:id/rollout", async (c) => {
    const { store } = await managerForReading(context);
    return sendJSON(c, rolloutView(store, findService(store, c.req.param("id")), context.clock.now()));
  });
  app.post("/services/:id/rollout/:action", async (c) => {
    const action = ROLLOUT_ACTIONS.find((each) => each === c.req.param("action"));
    if (action === undefined) {
      const wanted = `want ${ROLLOUT_ACTIONS.join(", ")}, current value is "${c.req.param("action")}"`;
      throw new CoveyError("invalid_argument", `Cannot control the rollout: ${wanted}`);
    }
    const manager = requireManager(context);
    const { ID } = await lookUp(manager, (state) => findService(state, c.req.param("id")));
    await controlRollout(manager.store, context.clock, ID, action);
    return sendJSON(c, {});
  });
  app.delete("/services/:id", async (c) => {
    const manager = requireManager(context);
    const { ID } = await lookUp(manager, (state) => findService(state, c.req.param("id")));
    await removeService(manager.store, ID);
    return c.body(null, 200);
  });
}
