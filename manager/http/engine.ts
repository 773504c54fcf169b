/** The local container engine behind its Unix socket, as far as the control API asks it itself. */
import { isObject } from "../../api/validate/mod.ts";

/** How long an answer of the engine is waited for, where the API can do without it. */
const ENGINE_TIMEOUT_MS = 5_000;

/** A Docker Engine on this node. */
export interface Engine {
  /** Path of its Unix socket. */
  readonly socket: string;
  /** An object from a GET, or undefined if the engine does not answer. */
  getObject(path: string): Promise<Record<string, unknown> | undefined>;
  /** Headers of `/_ping`, or undefined if the engine does not answer. */
  ping(): Promise<Headers | undefined>;
  /** The response to a GET without a time limit: a stream. Undefined if the engine does not answer with success. */
  stream(path: string, signal: AbortSignal): Promise<Response | undefined>;
  close(): void;
}

/** The engine on `socket`. Needs permission to connect to it. */
export function connectEngine(socket: string): Engine {
  const client = Deno.createHttpClient({ proxy: { transport: "unix", path: socket }, poolMaxIdlePerHost: 4 });
  const get = async (path: string, signal: AbortSignal) => {
    try {
      return await fetch(`http://docker${path}`, { client, signal });
    } catch {
      return undefined;
    }
  };
  return {
    socket,
    async getObject(path) {
      const response = await get(path, AbortSignal.timeout(ENGINE_TIMEOUT_MS));
      if (!response?.ok) return void await response?.body?.cancel();
      const value: unknown = await response.json().catch(() => undefined);
      return isObject(value) ? value : undefined;
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
