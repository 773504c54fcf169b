/**
 * `/covey/networks`: the swarm's networks without those of any engine, as the leader has them. `/networks` is made of it and
 * of what the engine beside says, on whatever manager it is asked for.
 */
import type { Network } from "../../../api/network.ts";
import { PREDEFINED_NETWORKS, TAKEN_NAMES } from "../../../api/predefined_network.ts";
import { CoveyError } from "../../../api/errors.ts";
import { parseGoDuration, toMs } from "../../../api/duration.ts";
import { fieldNames, fieldsOfBody, parseNetworkSpec } from "../../../api/validate/mod.ts";
import { presentNetworks } from "../../cluster/networks.ts";
import { type Filters, parseFilters } from "../../control/filters.ts";
import { NETWORK_FILTERS, networkMatches } from "../../control/network_filters.ts";
import { createNetwork, networkUsers, pruneNetworks, removeNetwork } from "../../control/networks.ts";
import { findNetwork } from "../../control/lookup.ts";
import {
  type ControlApp,
  type ControlContext,
  lookUp,
  managerForReading,
  readJSON,
  requireManager,
  sendJSON,
} from "../context.ts";
import { DockerError } from "../docker_error.ts";
import { SWARM_NETWORKS } from "../engine_paths.ts";
import { networkView } from "../views/network_view.ts";

/** Docker's filters of what is to be removed. */
const PRUNE_FILTERS = ["label", "label!", "until"];

/** Names that no network of the swarm may have. */
const RESERVED_NAMES = [...PREDEFINED_NETWORKS.map(({ Name }) => Name), "default"];
/** In which scope. */
const DECIDING = fieldNames(["Scope"]);

/** Adds the routes. */
export function swarmNetworkRoutes(app: ControlApp, context: ControlContext): void {
  app.get(SWARM_NETWORKS, async (c) => {
    const filters = parseFilters(c.req.query("filters"), NETWORK_FILTERS);
    const { store } = await managerForReading(context);
    const users = filters.has("dangling") ? networkUsers(store) : undefined;
    const matches = (network: Network) =>
      networkMatches(filters, {
        ID: network.ID,
        Name: network.Spec.Name,
        Labels: network.Spec.Labels,
        Driver: "overlay",
        isBuiltin: false,
        isUsed: users?.has(network.ID) ?? false,
      });
    return sendJSON(c, presentNetworks(store).filter(matches).map(networkView));
  });
  app.post(`${SWARM_NETWORKS}/create`, async (c) => {
    const body = await readJSON(c);
    const { store } = requireManager(context);
    const isLocal = fieldsOfBody(body, DECIDING).get("Scope") === "local";
    const spec = parseNetworkSpec(isLocal ? withoutScope(body as object) : body);
    // What Docker's own layer refuses before it asks the swarm.
    const isTaken = presentNetworks(store).some((each) => each.Spec.Name === spec.Name);
    if (isTaken || TAKEN_NAMES.includes(spec.Name)) {
      throw new DockerError(409, "already_exists", `network with name ${spec.Name} already exists`);
    }
    if (RESERVED_NAMES.includes(spec.Name)) {
      const message = `operation is not permitted on predefined ${spec.Name} network `;
      throw new DockerError(403, "permission_denied", message);
    }
    if (isLocal) {
      const message = "cannot downgrade network scope for overlay networks";
      throw new DockerError(403, "permission_denied", message);
    }
    // The swarm's names are one in any case.
    if (TAKEN_NAMES.includes(spec.Name.toLowerCase())) {
      throw new CoveyError("already_exists", `network with name ${spec.Name} already exists`);
    }
    return sendJSON(c, { Id: await createNetwork(store, context.random, spec), Warning: "" }, 201);
  });
  app.post(`${SWARM_NETWORKS}/prune`, async (c) => {
    const filters = parseFilters(c.req.query("filters"), PRUNE_FILTERS);
    const until = untilFilter(filters, context.clock.now());
    const { store } = requireManager(context);
    const names = await pruneNetworks(store, context.clock, { filters, until });
    return sendJSON(c, { NetworksDeleted: names.length > 0 ? names : null });
  });
  app.get(`${SWARM_NETWORKS}/:id`, async (c) => {
    const { store } = await managerForReading(context);
    return sendJSON(c, networkView(findNetwork(store, c.req.param("id"))));
  });
  app.delete(`${SWARM_NETWORKS}/:id`, async (c) => {
    const manager = requireManager(context);
    const { ID } = await lookUp(manager, (state) => findNetwork(state, c.req.param("id")));
    await removeNetwork(manager.store, context.clock, ID);
    return c.body(null, 204);
  });
}

function withoutScope(body: object): object {
  return Object.fromEntries(Object.entries(body).filter(([key]) => key.toLowerCase() !== "scope"));
}

/** The `until` filter in milliseconds since 1970: seconds, a date, or how long ago. Throws `invalid_argument`. */
function untilFilter(filters: Filters, now: number): number | undefined {
  const [word, second] = filters.get("until") ?? [];
  if (word === undefined) return undefined;
  if (second !== undefined) throw new CoveyError("invalid_argument", "more than one until filter specified");
  if (/^\d{1,12}(\.\d{1,9})?$/.test(word)) return Number(word) * 1000;
  const ago = parseGoDuration(word), date = Date.parse(word);
  if (ago === undefined && Number.isNaN(date)) {
    throw new CoveyError("invalid_argument", `invalid value for until: ${word}`);
  }
  return ago === undefined ? date : now - toMs(ago);
}
