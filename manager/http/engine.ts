/** The local container engine behind its Unix socket, as far as the control API asks it itself. */
import type { Clock } from "../../api/clock.ts";
import { stringifyExact } from "../../api/exact_json.ts";
import { isObject } from "../../api/validate/mod.ts";
import { type VersionRange, withinVersions } from "./api_version.ts";
import { SOCKET_ORIGIN } from "../../api/socket_origin.ts";

/** How long an answer of the engine is waited for, where the API can do without it. */
const ENGINE_TIMEOUT_MS = 5_000;

/** How long the engine's versions are taken for granted: it may be replaced while we run. */
const VERSIONS_KEPT_MS = 30_000;

/** A Docker Engine on this node. */
export interface Engine {
  /** Path of its Unix socket. */
  readonly socket: string;
  readonly name: string;
  /** An object from a GET, or undefined if the engine does not answer. */
  getObject(path: string): Promise<Record<string, unknown> | undefined>;
  /**
   * The response to a request with a body of JSON or none, or undefined if the engine does not answer. Only a GET has a time
   * limit: what is to be changed may take long, and comes about whether it is waited for or not.
   */
  request(method: string, target: string, body?: unknown): Promise<Response | undefined>;
  /** Headers of `/_ping`, or undefined if the engine does not answer. */
  ping(): Promise<Headers | undefined>;
  /** The response to a GET without a time limit: a stream. Undefined if the engine does not answer with success. */
  stream(path: string, signal: AbortSignal): Promise<Response | undefined>;
  /** `target`, the path and query of a request, in a version that the engine speaks. */
  target(target: string): Promise<string>;
  close(): void;
}

function rangeOf(version: Record<string, unknown> | undefined): VersionRange | undefined {
  const { ApiVersion: newest, MinAPIVersion: oldest = "0.0" } = version ?? {};
  return typeof newest === "string" && typeof oldest === "string" ? { oldest, newest } : undefined;
}

/** The engine on `socket`. Needs permission to connect to it. */
export function connectEngine(socket: string, clock: Clock): Engine {
  const client = Deno.createHttpClient({ proxy: { transport: "unix", path: socket }, poolMaxIdlePerHost: 4 });
  const get = async (path: string, signal: AbortSignal | undefined, options: RequestInit = {}) => {
    try {
      return await fetch(`${SOCKET_ORIGIN}${path}`, { ...options, client, ...(signal && { signal }) });
    } catch {
      return undefined;
    }
  };
  const getObject = async (path: string) => {
    const response = await get(path, AbortSignal.timeout(ENGINE_TIMEOUT_MS));
    if (!response?.ok) return void await response?.body?.cancel();
    const value: unknown = await response.json().catch(() => undefined);
    return isObject(value) ? value : undefined;
  };
  let kept: { versions: Promise<VersionRange | undefined>; until: number } | undefined;
  const versions = async () => {
    if (kept === undefined || clock.monotonic() >= kept.until) {
      kept = { versions: getObject("/version").then(rangeOf), until: clock.monotonic() + VERSIONS_KEPT_MS };
    }
    const found = await kept.versions;
    if (found === undefined) kept = undefined;
    return found;
  };
  const inVersion = async (target: string) => {
    const range = await versions();
    return range === undefined ? target : withinVersions(target, range);
  };
  return {
    socket,
    name: "the container engine",
    getObject,
    target: inVersion,
    async request(method, target, body) {
      const headers = { "Content-Type": "application/json" };
      const options = body === undefined ? { method } : { method, headers, body: stringifyExact(body) };
      const until = method === "GET" ? AbortSignal.timeout(ENGINE_TIMEOUT_MS) : undefined;
      return await get(await inVersion(target), until, options);
    },
    async ping() {
      const response = await get("/_ping", AbortSignal.timeout(ENGINE_TIMEOUT_MS));
      await response?.body?.cancel();
      return response?.ok ? response.headers : undefined;
    },
    async stream(path, signal) {
      const response = await get(path, signal);
      if (response?.ok) return response;
      return void await response?.body?.cancel();
    },
    close: () => client.close(),
  };
}
