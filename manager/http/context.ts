/** What every route needs: the options, the manager of the moment, and reading and writing of JSON as Docker does it. */
import type { Context, Hono } from "@hono/hono";
import type { Caller } from "../control/caller.ts";
import type { ContentfulStatusCode } from "@hono/hono/utils/http-status";
import type { Clock } from "../../api/clock.ts";
import { NO_LEADER, NOT_A_MANAGER, SWARM_LOCKED } from "../../api/docker_texts.ts";
import { CoveyError } from "../../api/errors.ts";
import { parseExact } from "../../api/exact_json.ts";
import type { Random } from "../../api/random.ts";
import type { ManagerHandle, NodeLifecycle } from "./lifecycle.ts";
import { DockerError } from "./docker_error.ts";
import type { Store } from "../store/store.ts";
import type { Engine } from "./engine.ts";
import { withText } from "./front/whole_text.ts";
import { jsonOf } from "./rendered.ts";

/** What the control API is made of. */
export interface ControlContext {
  lifecycle: NodeLifecycle;
  clock: Clock;
  random: Random;
  /** The local container engine, if there is one. */
  engine: Engine | undefined;
  /** Covey's version. */
  version: string;
}

/** What comes with each request. */
export interface RequestEnv {
  Bindings: { caller: Caller };
}

/** The app, as routes are added to it. */
export type ControlApp = Hono<RequestEnv>;

/** The manager that can answer. Throws Docker's 503 on a node that is none, or while the swarm has no leader. */
export function requireManager({ lifecycle }: ControlContext): ManagerHandle {
  const { manager, state } = lifecycle;
  if (manager !== undefined && state === "active") {
    if (manager.consensus.status().leaderNodeID !== undefined) return manager;
    throw new DockerError(503, "unavailable", `rpc error: code = Unknown desc = ${NO_LEADER}`, "no_leader");
  }
  throw new DockerError(503, "unavailable", notManagerText(lifecycle));
}

function notManagerText({ state, manager, error }: NodeLifecycle): string {
  const why = error === "" ? "" : ` (${error})`;
  switch (state) {
    case "inactive":
      return NOT_A_MANAGER +
        'Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.';
    case "locked":
      return SWARM_LOCKED;
    case "active":
      return NOT_A_MANAGER + "Worker nodes can't be used to view or modify cluster state. " +
        "Please run this command on a manager node or promote the current node to a manager.";
    default:
      return NOT_A_MANAGER +
        (manager !== undefined || state === "pending"
          ? "Manager is being prepared or has trouble connecting to the cluster."
          : "Its part in the swarm could not be started.") +
        why;
  }
}

/** As {@linkcode requireManager}, with everything acknowledged so far in view. */
export async function managerForReading(context: ControlContext): Promise<ManagerHandle> {
  const manager = requireManager(context);
  await manager.consensus.readBarrier();
  return manager;
}

/**
 * Looks something up to be changed. What is missing here is looked for again with everything acknowledged in view: a leader
 * that was deposed unawares must not say that it does not exist.
 */
export async function lookUp<T>({ store, consensus }: ManagerHandle, find: (store: Store) => T): Promise<T> {
  try {
    return find(store);
  } catch {
    await consensus.readBarrier();
    return find(store);
  }
}

/** Answers with JSON. */
export function sendJSON(c: Context, value: unknown, status: ContentfulStatusCode = 200): Response {
  return sendText(c, jsonOf(value), status);
}

/** Answers with JSON that is a text already. */
export function sendText(c: Context, json: string, status: ContentfulStatusCode = 200): Response {
  return sendParts(c, [json + "\n"], status);
}

/** Answers with a list of what are texts already. */
export function sendTexts(c: Context, items: readonly string[]): Response {
  const parts = items.map((item, nth) => nth === 0 ? item : "," + item);
  return sendParts(c, ["[", ...parts, "]\n"], 200);
}

function sendParts(c: Context, parts: readonly string[], status: ContentfulStatusCode): Response {
  const contentType = "application/json";
  let body = "";
  // As long as nobody asks the response for it, it is not put together; a `join` would be.
  for (const part of parts) body += part;
  return withText(c.body(body, status, { "Content-Type": contentType }), { contentType, parts });
}

/** The request's JSON. Throws `invalid_argument`. */
export async function readJSON(c: Context): Promise<unknown> {
  const body = await c.req.text();
  if (body === "") throw new CoveyError("invalid_argument", "got EOF while reading request body");
  try {
    // Go leaves what it decodes into as it is.
    return parseExact(body) ?? {};
  } catch (cause) {
    throw new CoveyError("invalid_argument", `Cannot parse the request body: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** What Go's parser takes for a version. */
const MAX_UINT64 = 2n ** 64n - 1n;

/** The `version` parameter, which updates of a `kind` need. Throws `invalid_argument` in Go's words. */
function versionParameter(c: Context, kind: string): number {
  const raw = c.req.query("version") ?? "";
  const isWhole = /^\d{1,100}$/.test(raw);
  // What a number would round is a version that no object has.
  if (isWhole && BigInt(raw) <= MAX_UINT64) return Number(raw);
  // Of these two, moby says no more.
  if (kind === "secret" || kind === "config") {
    throw new CoveyError("invalid_argument", `invalid ${kind} version`);
  }
  throw new CoveyError(
    "invalid_argument",
    `invalid ${kind} version '${raw}': strconv.ParseUint: parsing ${JSON.stringify(raw)}: ${
      isWhole ? "value out of range" : "invalid syntax"
    }`,
  );
}

/** What an update of a `kind` comes with: the body, the version it is based on, and the manager to do it. */
export async function updateRequest(c: Context, context: ControlContext, kind: string) {
  const body = await readJSON(c);
  return { body, version: versionParameter(c, kind), manager: requireManager(context) };
}

/** A boolean parameter as Go's `ParseBool` reads it; absent is false. Throws `invalid_argument`. */
export function flagParameter(c: Context, name: string): boolean {
  const raw = c.req.query(name) ?? "";
  if (["1", "t", "T", "true", "TRUE", "True"].includes(raw)) return true;
  if (["", "0", "f", "F", "false", "FALSE", "False"].includes(raw)) return false;
  throw new CoveyError("invalid_argument", `invalid value for ${name}: ${raw}`);
}

/** A parameter as moby reads those that are no part of Go's `ParseBool`: whatever does not say no says yes. */
export function saysYes(c: Context, name: string): boolean {
  return !["", "0", "no", "false", "none"].includes((c.req.query(name) ?? "").trim().toLowerCase());
}

/** True for the stock client and what is built on its Go library. */
export function isDockerClient(c: Context): boolean {
  return /^(?:Docker-Client|Go-http-client)\//.test(c.req.header("user-agent") ?? "");
}
