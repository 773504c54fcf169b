/** Client of the control API: the Docker Engine's swarm API over a Unix socket or HTTP. */
import { asReason, CoveyError, type ErrorCode, type ErrorReason } from "../api/errors.ts";
import { parseExact, stringifyExact } from "../api/exact_json.ts";
import { fetchFailure } from "../api/fetch_failure.ts";
import { upgrade } from "./upgrade.ts";
import { SOCKET_ORIGIN } from "../api/socket_origin.ts";

/** Where the control API listens unless `-H` or COVEY_HOST says otherwise. */
export const DEFAULT_HOST = "unix:///run/covey/covey.sock";

/** The Engine API version the command line speaks. */
const API_VERSION = "1.51";

const CODE_OF_STATUS: Record<number, ErrorCode> = {
  400: "invalid_argument",
  401: "unauthenticated",
  403: "permission_denied",
  404: "not_found",
  406: "failed_precondition",
  409: "already_exists",
  501: "unimplemented",
  503: "unavailable",
};

/** Query parameters; objects are sent as JSON, as `filters` is. */
export type Query = Record<string, string | number | boolean | Record<string, string[]> | undefined>;

/** How long an answer may take unless said otherwise before {@linkcode ClientOptions.onSlow} is told. */
const SLOW_MS = 2000;

/** How a client behaves. */
export interface ClientOptions {
  /** Aborted by Ctrl-C: ends whatever call waits. */
  signal?: AbortSignal;
  /** Called once, when a call has waited for `slowMs`. */
  onSlow?: () => void;
  slowMs?: number;
}

/**
 * One connection's worth of control API. Every call throws a {@linkcode CoveyError} with the server's own message.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * const client = new ControlClient("unix:///nowhere/covey.sock");
 * await assert.rejects(client.get("/services"), { code: "unavailable" });
 * client.close();
 * ```
 */
export class ControlClient {
  readonly host: string;
  readonly #options: ClientOptions;
  /** Of the Unix socket, if it is one. */
  readonly #path: string | undefined;
  #http: Deno.HttpClient | undefined;
  #base: string;
  #slow = false;

  /** @param host `unix:///path/to.sock`, `/path/to.sock` or `tcp://HOST:PORT` */
  constructor(host: string, options: ClientOptions = {}) {
    this.host = host;
    this.#options = options;
    const path = this.#path = host.startsWith("unix://")
      ? host.slice("unix://".length)
      : host.startsWith("/")
      ? host
      : undefined;
    if (path !== undefined) {
      this.#http = Deno.createHttpClient({ proxy: { transport: "unix", path } });
      this.#base = SOCKET_ORIGIN;
    } else if (/^(tcp|http):\/\//.test(host)) {
      this.#base = host.replace(/^tcp:/, "http:").replace(/\/$/, "");
    } else {
      throw new CoveyError(
        "invalid_argument",
        `Cannot use --host as an address: current value is "${host}"; want unix:///path or tcp://HOST:PORT`,
      );
    }
  }

  get<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
    return this.#call<T>("GET", path, query, undefined, signal);
  }

  post<T>(path: string, body: unknown, query: Query = {}): Promise<T> {
    return this.#call<T>("POST", path, query, body);
  }

  delete<T>(path: string, query: Query = {}): Promise<T> {
    return this.#call<T>("DELETE", path, query);
  }

  /** The body of a response as it comes. Throws `unavailable` if it breaks off. */
  async *download(path: string, signal: AbortSignal, query: Query = {}): AsyncGenerator<Uint8Array, void> {
    const response = await this.#send("GET", path, query, { signal });
    if (!response.ok) throw refusal(response.status, await this.#bodyOf(response));
    try {
      yield* response.body ?? [];
    } catch (thrown) {
      throw this.#broken(thrown);
    }
  }

  /** Posts `body` as it comes. */
  async upload<T>(
    path: string,
    body: AsyncIterable<Uint8Array>,
    type: string,
    query: Query,
    signal: AbortSignal,
  ): Promise<T> {
    const response = await this.#send("POST", path, query, {
      signal,
      body: ReadableStream.from(body),
      headers: { "content-type": type },
    });
    return await this.#resultOf<T>(response);
  }

  /** Makes a connection one of bytes both ways, which is the caller's to close. Throws as other calls do. */
  async upgrade(
    path: string,
    body: unknown,
  ): Promise<{ connection: Deno.Conn; pieces: AsyncIterable<Uint8Array> }> {
    const slow = this.#watch();
    try {
      const answer = await upgrade(await this.#connect(), `/v${API_VERSION}${path}`, body);
      if ("connection" in answer) return answer;
      throw refusal(answer.status, answer.text);
    } finally {
      clearTimeout(slow);
    }
  }

  async #connect(): Promise<Deno.Conn> {
    try {
      if (this.#path !== undefined) return await Deno.connect({ transport: "unix", path: this.#path });
      const { hostname, port } = new URL(this.#base);
      return await Deno.connect({ hostname, port: Number(port || 80) });
    } catch (thrown) {
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      const message = `Cannot connect to a Covey manager at ${this.host}: ${why}; ${await this.#hint()}`;
      throw new CoveyError("unavailable", message, { cause: thrown });
    }
  }

  close(): void {
    this.#http?.close();
  }

  async #call<T>(
    method: string,
    path: string,
    query: Query,
    body?: unknown,
    signal?: AbortSignal,
  ): Promise<T> {
    const response = await this.#send(method, path, query, {
      ...(signal && { signal }),
      ...(body !== undefined &&
        { body: stringifyExact(body), headers: { "content-type": "application/json" } }),
    });
    return await this.#resultOf<T>(response);
  }

  async #resultOf<T>(response: Response): Promise<T> {
    const text = await this.#bodyOf(response);
    if (!response.ok) throw refusal(response.status, text);
    try {
      return (text === "" ? undefined : parseExact(text)) as T;
    } catch (cause) {
      throw new CoveyError("unknown", `Cannot read the answer of ${this.host}: it is not JSON`, { cause });
    }
  }

  async #bodyOf(response: Response): Promise<string> {
    try {
      return await response.text();
    } catch (thrown) {
      throw this.#broken(thrown);
    }
  }

  #broken(thrown: unknown): Error {
    if (thrown instanceof DOMException) return thrown;
    const message = `Cannot read the answer of ${this.host}: the connection broke`;
    return new CoveyError("unavailable", message, { cause: thrown });
  }

  async #send(method: string, path: string, query: Query, init: RequestInit): Promise<Response> {
    const url = new URL(`${this.#base}/v${API_VERSION}${path}`);
    for (const [key, value] of Object.entries(query)) {
      if (value !== undefined) {
        url.searchParams.set(key, typeof value === "object" ? JSON.stringify(value) : String(value));
      }
    }
    const { signal } = this.#options, slow = this.#watch();
    try {
      const options = { method, ...(signal && { signal }), ...init };
      return await fetch(url, { ...options, ...(this.#http && { client: this.#http }) });
    } catch (thrown) {
      if (thrown instanceof DOMException) throw thrown;
      const why = fetchFailure(thrown);
      const message = `Cannot connect to a Covey manager at ${this.host}: ${why}; ${await this.#hint()}`;
      throw new CoveyError("unavailable", message, { cause: thrown });
    } finally {
      clearTimeout(slow);
    }
  }

  /** What to do when no manager answers. */
  async #hint(): Promise<string> {
    if (this.#path !== undefined && await isForbidden(this.#path)) {
      return "the socket is its owner's alone: run as the manager's user";
    }
    return "is it running? (set -H or COVEY_HOST to its --api, without one covey.sock in its state folder)";
  }

  /** Tells once that an answer takes its time. */
  #watch(): ReturnType<typeof setTimeout> | undefined {
    const { onSlow, slowMs = SLOW_MS } = this.#options;
    if (onSlow === undefined || this.#slow) return undefined;
    return setTimeout(() => {
      if (this.#slow) return;
      this.#slow = true;
      onSlow();
    }, slowMs);
  }
}

/** Whether the system refuses this user a socket: `fetch` says it in words only. */
async function isForbidden(path: string): Promise<boolean> {
  try {
    (await Deno.connect({ transport: "unix", path })).close();
    return false;
  } catch (thrown) {
    return thrown instanceof Deno.errors.PermissionDenied;
  }
}

function refusal(status: number, text: string): CoveyError {
  const { message, reason } = readRefusal(text, status);
  // Docker answers 503 also where the node is not in the state that a command needs.
  const code = reason === "wrong_state" ? "failed_precondition" : CODE_OF_STATUS[status] ?? "unknown";
  return new CoveyError(code, message, { cause: status, reason });
}

function readRefusal(text: string, status: number): { message: string; reason?: ErrorReason | undefined } {
  try {
    const { message, reason } = JSON.parse(text) as { message: string; reason?: unknown };
    // Docker's texts name `docker swarm …` and the like; the same commands of `covey` are meant.
    const shown = message
      .replace(/^rpc error: code = \w+ desc = /, "")
      .replace(/"docker (swarm|node|service) /g, '"covey $1 ');
    return { message: shown, reason: asReason(reason) };
  } catch {
    return { message: text.trim() || `the server answered with status ${status}` };
  }
}
