/** Which requests the leader answers, and how they get there. */
import type { Context } from "@hono/hono";
import type { Caller } from "../control/caller.ts";
import type { RequestEnv } from "./context.ts";
import { CoveyError } from "../../api/errors.ts";
import { firstSegment } from "./api_version.ts";
import { isNotLeading, notLeading } from "../consensus/mod.ts";
import type { ManagerHandle, NodeLifecycle } from "./lifecycle.ts";
import { DockerError } from "./docker_error.ts";
import { SWARM_NETWORKS } from "./engine_paths.ts";

/** First segments of what the whole swarm has in common. `/events` is not: it also tells of the local engine. */
const SHARED = new Set(["swarm", "nodes", "services", "tasks", "secrets", "configs", "variables", "metrics"]);
/** What is about this node's own membership. */
const OWN = new Set(["/swarm/init", "/swarm/join", "/swarm/leave", "/swarm/unlock"]);

/** True for a path, without version prefix, that the leader answers. */
function isLeadersPath(path: string): boolean {
  if (path === SWARM_NETWORKS || path.startsWith(`${SWARM_NETWORKS}/`)) return true;
  return SHARED.has(firstSegment(path)) && !OWN.has(path);
}

type Answer = (request: Request, caller: Caller) => Response | Promise<Response>;

/** The leader's requests, on whatever manager they arrive. */
export class LeadersRequests {
  readonly #lifecycle: NodeLifecycle;
  readonly #fetch: Answer;
  readonly #handedOn = new WeakSet<Request>();
  readonly #undone = new WeakSet<Request>();

  /** `fetch` answers a request here. */
  constructor(lifecycle: NodeLifecycle, fetch: Answer) {
    this.#lifecycle = lifecycle;
    this.#fetch = fetch;
  }

  /**
   * Answers a request here, whoever leads: it was handed on already. Rejects if nothing was done because leadership is on
   * its way to another manager.
   */
  async answer(request: Request, caller: Caller): Promise<Response> {
    this.#handedOn.add(request);
    const response = await this.#fetch(request, caller);
    if (this.#undone.has(request)) throw notLeading("answer", "this manager is not the leader");
    return response;
  }

  /**
   * The leader's response; resolves with nothing if this manager is to answer, after `here` has done so. What meets a
   * handover is asked again, for as long as one waits during an election. Throws Docker's errors if there is no leader.
   */
  async route(c: Context<RequestEnv>, here: () => Promise<void>): Promise<Response | undefined> {
    const { manager, state } = this.#lifecycle;
    const request = c.req.raw;
    if (!manager || state !== "active" || !isLeadersPath(c.req.path)) return void await here();
    const isHandedOn = this.#handedOn.has(request);
    if (!isHandedOn && !manager.consensus.status().isLeader) {
      const response = await ask(c, manager);
      if (response) return response;
    }
    await here();
    if (!mayAskAgain(c.error)) return;
    // Whoever handed it on waits for the next leader.
    if (isHandedOn) return void this.#undone.add(request);
    const { method, url, headers } = request;
    const body = method === "GET" || method === "HEAD" ? null : await c.req.arrayBuffer();
    const response = await ask(
      c,
      manager,
      () => this.answer(new Request(url, { method, headers, body }), c.env.caller),
    );
    // Without this, the headers of the failure would be laid over it.
    c.res = undefined;
    c.res = response;
  }
}

/** Whether a request failed before anything was done, because leadership is on its way to another manager. */
function mayAskAgain(error: Error | undefined): boolean {
  return error instanceof CoveyError && (isNotLeading(error) || error.reason === "no_leader");
}

async function ask(
  c: Context<RequestEnv>,
  manager: ManagerHandle,
  here?: () => Promise<Response>,
): Promise<Response | undefined> {
  const { method, url, headers } = c.req.raw;
  try {
    return await manager.forward({
      Method: method,
      Path: url.slice(url.indexOf("/", url.indexOf("://") + 3)),
      Headers: [...headers],
      Body: new Uint8Array(await c.req.arrayBuffer()),
      Caller: c.env.caller,
    }, here);
  } catch (thrown) {
    throw translated(CoveyError.from(thrown));
  }
}

/** gRPC's codes as moby prints them: SwarmKit reports a missing leader as an error without a code of its own. */
function translated(error: CoveyError): CoveyError {
  const { code, message, retryable, reason } = error;
  if (code === "unavailable") {
    const name = reason === "no_leader" ? "Unknown" : "Unavailable";
    return new DockerError(503, code, `rpc error: code = ${name} desc = ${message}`, reason);
  }
  if (code === "unknown") {
    return new DockerError(500, code, `rpc error: code = Unknown desc = ${message}`, reason);
  }
  if (code === "resource_exhausted") return new DockerError(retryable ? 503 : 413, code, message);
  return error;
}
