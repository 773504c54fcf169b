/** `/networks`: those of the swarm and those of the container engine beside, as one list. */
import type { Context } from "@hono/hono";
import type { ContentfulStatusCode } from "@hono/hono/utils/http-status";
import { CoveyError } from "../../../api/errors.ts";
import { stringifyExact } from "../../../api/exact_json.ts";
import { OVERLAY_DRIVER } from "../../../api/network.ts";
import { PREDEFINED_NETWORKS, predefinedNetwork, TAKEN_NAMES } from "../../../api/predefined_network.ts";
import { fieldNames, fieldsOfBody, isObject, networkMissing } from "../../../api/validate/mod.ts";
import { parseFilters } from "../../control/filters.ts";
import { NETWORK_FILTERS, networkMatches } from "../../control/network_filters.ts";
import { type ControlApp, type ControlContext, readJSON, type RequestEnv, sendJSON } from "../context.ts";
import { DockerError } from "../docker_error.ts";
import { NEW_CONTAINER, SWARM_NETWORKS } from "../engine_paths.ts";
import { PREDEFINED_LABELS, predefinedView } from "../views/network_view.ts";

/** What of a container to be made names networks. */
const CONTAINERS = fieldNames(["HostConfig", "NetworkMode", "NetworkingConfig", "EndpointsConfig"]);
/** What of a network to be made says whose it is. */
const DECIDING = fieldNames(["Name", "Driver", "Scope", "ConfigOnly"]);

/** What an engine takes for the name of a network without having one: nobody has to be asked. */
const ENGINES_WORDS = /^(?:default|bridge|host|none|container:.*)$/;

type Answer = { status: number; json: unknown };

/** Adds the routes; those of the swarm's networks are asked through `app`, so that the leader answers them. */
export function networkRoutes(app: ControlApp, context: ControlContext): void {
  const both = new BothSides(app, context);
  app.get("/networks", async (c) => {
    const filters = parseFilters(c.req.query("filters"), NETWORK_FILTERS);
    const { search } = new URL(c.req.url);
    const [ours, engines] = await Promise.all([
      both.swarm(c, "GET", `${SWARM_NETWORKS}${search}`),
      both.engine(c, "GET"),
    ]);
    // As Docker has it, whose node shows its own networks also while the swarm cannot be asked.
    if (ours && ours.status !== 200 && engines?.status !== 200) return answer(c, ours);
    const predefined = context.engine === undefined && context.lifecycle.manager
      ? PREDEFINED_NETWORKS.filter(({ ID, Name, Driver }) =>
        networkMatches(filters, {
          ID,
          Name,
          Driver,
          Labels: PREDEFINED_LABELS,
          isBuiltin: true,
          isUsed: true,
        })
      )
      : [];
    return sendJSON(c, [...listOf(ours), ...listOf(engines), ...predefined.map(predefinedView)]);
  });
  app.get("/networks/:id", async (c) => {
    const { network } = await both.find(c, c.req.param("id"), c.req.query("scope") || undefined);
    return sendJSON(c, network);
  });
  app.post("/networks/create", async (c) => {
    const body = await readJSON(c);
    if (!both.isOurs(body)) {
      await both.requireFreeName(c, body);
      return answer(c, await both.requireEngine(c, "POST", body));
    }
    return answer(c, (await both.swarm(c, "POST", `${SWARM_NETWORKS}/create`, body))!);
  });
  app.post("/networks/prune", async (c) => {
    const { search } = new URL(c.req.url);
    const ours = await both.swarm(c, "POST", `${SWARM_NETWORKS}/prune${search}`);
    if (ours && ours.status !== 200) return answer(c, ours);
    const engines = await both.engine(c, "POST");
    if (engines && engines.status !== 200) return answer(c, engines);
    const names = [engines, ours].flatMap((each) => {
      const found = isObject(each?.json) ? each.json.NetworksDeleted : undefined;
      return Array.isArray(found) ? found : [];
    });
    return sendJSON(c, { NetworksDeleted: names.length > 0 ? names : null });
  });
  attachRoutes(app, context, both);
  app.delete("/networks/:id", async (c) => {
    const { isOurs, network } = await both.find(c, c.req.param("id"), undefined);
    if (!isOurs) return answer(c, await both.requireEngine(c, "DELETE"));
    if (predefinedNetwork(String(network.Id)) === undefined) {
      return answer(c, (await both.swarm(c, "DELETE", `${SWARM_NETWORKS}/${network.Id}`))!);
    }
    const message = `${network.Name} is a pre-defined network and cannot be removed`;
    throw new DockerError(403, "permission_denied", message);
  });
}

/** What puts containers into networks: the engine does that, into its own. */
function attachRoutes(app: ControlApp, context: ControlContext, both: BothSides): void {
  for (const action of ["connect", "disconnect"]) {
    app.post(`/networks/:id/${action}`, async (c) => {
      const body = await readJSON(c), id = c.req.param("id");
      const { isOurs, network } = await both.find(c, id, undefined);
      if (!isOurs) return answer(c, await both.requireEngine(c, "POST", body));
      throw notAttachable(network);
    });
  }
  if (context.engine !== undefined) {
    app.post(NEW_CONTAINER, async (c) => {
      const body = await readJSON(c);
      for (const name of networksNamed(body)) await both.requireNotOurs(c, name);
      return answer(c, await both.requireEngine(c, "POST", body));
    });
  }
}

/** The networks that a container is to be in, by the names of its body. */
function networksNamed(body: unknown): string[] {
  const fields = fieldsOfBody(body, CONTAINERS);
  const mode = fieldsOfBody(fields.get("HostConfig"), CONTAINERS).get("NetworkMode");
  const endpoints = fieldsOfBody(fields.get("NetworkingConfig"), CONTAINERS).get("EndpointsConfig");
  const named = [mode, ...isObject(endpoints) ? Object.keys(endpoints) : []];
  return [...new Set(named)].filter((name): name is string => typeof name === "string" && name !== "");
}

/** The engine would say that it knows no such network, or could not run what is in it. */
function notAttachable({ Name }: NetworkObject): DockerError {
  const message =
    `network ${Name} is the swarm's, and containers that belong to no service are in none of those: ` +
    `make it a service (docker service create --network ${Name} --restart-condition none IMAGE)`;
  return new DockerError(501, "unimplemented", message);
}

type NetworkObject = { Id: string; Name: string } & Record<string, unknown>;

/** The swarm's networks and the engine's. */
class BothSides {
  constructor(readonly app: ControlApp, readonly context: ControlContext) {}

  /** True if `body` asks for a network of the swarm rather than one of this node. */
  isOurs(body: unknown): boolean {
    const fields = fieldsOfBody(body, DECIDING);
    const isLocal = this.context.lifecycle.manager === undefined || fields.get("ConfigOnly") === true;
    return this.context.engine === undefined ||
      (!isLocal && (fields.get("Driver") === OVERLAY_DRIVER || fields.get("Scope") === "swarm"));
  }

  /** The swarm's answer, from its leader; undefined on a node that is no manager. */
  async swarm(
    c: Context<RequestEnv>,
    method: string,
    path: string,
    body?: unknown,
  ): Promise<Answer | undefined> {
    const { lifecycle, engine } = this.context;
    if (lifecycle.manager === undefined && (method === "GET" || engine !== undefined)) return undefined;
    const request = new Request(`http://docker${path}`, {
      method,
      headers: { "User-Agent": c.req.header("user-agent") ?? "" },
      ...(body !== undefined && { body: stringifyExact(body) }),
    });
    return await answerOf(await this.app.fetch(request, { caller: c.env.caller }));
  }

  /** The engine's answer to the same request; undefined where there is none, or it does not answer. */
  async engine(c: Context<RequestEnv>, method: string, body?: unknown): Promise<Answer | undefined> {
    const { engine } = this.context, { url } = c.req.raw;
    const target = url.slice(url.indexOf("/", url.indexOf("://") + 3));
    const response = await engine?.request(method, target, body);
    return response && await answerOf(response);
  }

  /** As {@linkcode engine}; throws `unavailable` where nobody answers. */
  async requireEngine(c: Context<RequestEnv>, method: string, body?: unknown): Promise<Answer> {
    const answer = await this.engine(c, method, body);
    if (answer !== undefined) return answer;
    throw new CoveyError("unavailable", "Cannot reach the container engine on this node");
  }

  /** Throws Docker's refusal of a network of the engine that has the name of one of the swarm. */
  async requireFreeName(c: Context<RequestEnv>, body: unknown): Promise<void> {
    const name = fieldsOfBody(body, DECIDING).get("Name");
    if (typeof name !== "string" || name === "") return;
    const isTaken = this.context.lifecycle.manager !== undefined && TAKEN_NAMES.includes(name);
    if (!isTaken && (await this.#ours(c, name))?.Name !== name) return;
    throw new DockerError(409, "already_exists", `network with name ${name} already exists`);
  }

  /** The network that `reference` names best: by its ID, its name, or how its ID begins. Throws `not_found`, `invalid_argument`. */
  async find(
    c: Context<RequestEnv>,
    reference: string,
    scope: string | undefined,
  ): Promise<{ network: NetworkObject; isOurs: boolean }> {
    const { engine, lifecycle } = this.context;
    const predefined = lifecycle.manager && scope !== "local" ? predefinedNetwork(reference) : undefined;
    if (predefined && (engine === undefined || scope === "swarm" || reference === predefined.ID)) {
      return { network: predefinedView(predefined) as NetworkObject, isOurs: true };
    }
    let failure: unknown;
    const ours = scope === "local"
      ? undefined
      : await this.#ours(c, reference).catch((thrown) => void (failure = thrown));
    const engines = scope === "swarm" ? undefined : await this.#engines(reference);
    const found = [ours, engines].filter((each) => each !== undefined);
    // What the swarm cannot be asked for may be the engine's.
    if (found.length === 0 && failure !== undefined) throw failure;
    const best = Math.min(...found.map((each) => rank(each, reference)));
    const [network, second] = found.filter((each) => rank(each, reference) === best);
    if (network === undefined) throw new CoveyError("not_found", networkMissing(reference));
    if (second === undefined) return { network, isOurs: network === ours };
    const by = best === 1 ? "name" : "ID prefix";
    throw new CoveyError("invalid_argument", `network ${reference} is ambiguous (2 matches found on ${by})`);
  }

  /** Throws what is to be said of a container in a network that is the swarm's alone. */
  async requireNotOurs(c: Context<RequestEnv>, reference: string): Promise<void> {
    if (ENGINES_WORDS.test(reference) || await this.#engines(reference) !== undefined) return;
    const ours = await this.#ours(c, reference);
    if (ours !== undefined) throw notAttachable(ours);
  }

  async #ours(c: Context<RequestEnv>, reference: string): Promise<NetworkObject | undefined> {
    const answer = await this.swarm(c, "GET", `${SWARM_NETWORKS}/${encodeURIComponent(reference)}`);
    if (answer === undefined || answer.status === 404) return undefined;
    if (answer.status === 200) return answer.json as NetworkObject;
    throw new DockerError(answer.status, "unknown", messageOf(answer));
  }

  async #engines(reference: string): Promise<NetworkObject | undefined> {
    const response = await this.context.engine?.request("GET", `/networks/${encodeURIComponent(reference)}`);
    const answer = response && await answerOf(response);
    return answer?.status === 200 ? answer.json as NetworkObject : undefined;
  }
}

/** How well `reference` names a network: 0 best. */
function rank({ Id, Name }: NetworkObject, reference: string): number {
  return Id === reference ? 0 : Name === reference ? 1 : 2;
}

async function answerOf(response: Response): Promise<Answer> {
  const text = await response.text();
  return { status: response.status, json: text === "" ? undefined : JSON.parse(text) };
}

function messageOf({ json }: Answer): string {
  return isObject(json) && typeof json.message === "string" ? json.message : "no reason was given";
}

function listOf(answer: Answer | undefined): unknown[] {
  return Array.isArray(answer?.json) ? answer.json : [];
}

function answer(c: Context, { status, json }: Answer): Response {
  return json === undefined ? c.body(null, status as 204) : sendJSON(c, json, status as ContentfulStatusCode);
}
