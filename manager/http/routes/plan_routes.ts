/** `/services/plan`: what submitting a spec would change. */
import type { Service } from "../../../api/service.ts";
import { parseServiceSpec } from "../../../api/validate/mod.ts";
import { refuseClusterPorts } from "../../control/service_networks.ts";
import { planService } from "../../control/service_plan.ts";
import type { ReadView } from "../../store/store.ts";
import { type ControlApp, type ControlContext, managerForReading, readJSON, sendJSON } from "../context.ts";
import { keptAuth, registryAuth, withAuth } from "../registry_auth.ts";
import { withNetworks } from "../service_networks.ts";
import { planView } from "../views/service_view.ts";

/** Adds the route. */
export function planRoutes(app: ControlApp, context: ControlContext): void {
  app.post("/services/plan", async (c) => {
    const body = await readJSON(c), auth = registryAuth(c);
    const { store, consensus } = await managerForReading(context);
    const service = named(store, body);
    const current = service && { current: service.Spec };
    const spec = await withNetworks(parseServiceSpec(body, current ?? {}), store, context.engine);
    refuseClusterPorts(store, spec, consensus.status());
    const kept = auth ?? (service && keptAuth("", service));
    return sendJSON(c, planView(planService(store, context, service, withAuth(spec, kept))));
  });
}

/** The service that a spec of this name would change. */
function named(view: ReadView, body: unknown): Service | undefined {
  const name = typeof body === "object" && body !== null && "Name" in body ? body.Name : undefined;
  if (typeof name !== "string") return undefined;
  return view.find("services", "name", name.toLowerCase()).find(({ Spec }) => Spec.Name === name);
}
