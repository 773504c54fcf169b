/** `/networks`, as far as the swarm answers: a container engine beside answers for its own. */
import { CoveyError } from "../../../api/errors.ts";
import { PREDEFINED_NETWORKS, predefinedNetwork } from "../../../api/predefined_network.ts";
import { networkMissing } from "../../../api/validate/mod.ts";
import { matchesExactly, matchesLabels, matchesPrefix, parseFilters } from "../../control/filters.ts";
import { type ControlApp, type ControlContext, sendJSON } from "../context.ts";
import { networkView, PREDEFINED_LABELS } from "../views/network_view.ts";

/** Docker's filters of a list of networks. */
const FILTERS = ["dangling", "driver", "id", "label", "name", "scope", "type"];

/** Adds the routes. */
export function networkRoutes(app: ControlApp, context: ControlContext): void {
  app.get("/networks/:id", (c) => {
    const reference = c.req.param("id"), scope = c.req.query("scope") || "swarm";
    const network = scope === "swarm" && context.lifecycle.manager && predefinedNetwork(reference);
    if (network) return sendJSON(c, networkView(network));
    throw new CoveyError("not_found", networkMissing(reference));
  });
  if (context.engine !== undefined) return;
  app.get("/networks", (c) => {
    const filters = parseFilters(c.req.query("filters"), FILTERS);
    const shown = context.lifecycle.manager === undefined
      ? []
      : PREDEFINED_NETWORKS.filter((each) =>
        matchesPrefix(filters, "id", each.ID) &&
        matchesExactly(filters, "driver", each.Driver) &&
        matchesExactly(filters, "scope", "swarm") &&
        matchesExactly(filters, "type", "builtin") &&
        matchesExactly(filters, "dangling", "false") &&
        (filters.get("name")?.some((part) => each.Name.includes(part)) ?? true) &&
        matchesLabels(filters, "label", PREDEFINED_LABELS)
      );
    return sendJSON(c, shown.map(networkView));
  });
}
