/** Client of the agent's own socket on this device: no manager is needed, and no network. */
import { CoveyError, type ErrorCode } from "../api/errors.ts";
import { SOCKET_ORIGIN } from "../api/socket_origin.ts";

/** Where an installed agent has it: on a device, and beside a manager. */
const PLACES = ["/var/lib/covey/local/agent.sock", "/var/lib/covey/agent/local/agent.sock"];

const CODES: Record<number, ErrorCode> = {
  400: "invalid_argument",
  403: "permission_denied",
  404: "not_found",
  409: "failed_precondition",
};

/** One connection's worth of it. */
export class LocalClient {
  readonly #path: string;
  readonly #http: Deno.HttpClient;

  /** @param stateDir of the agent; the first place where an installed one has its socket if undefined */
  constructor(stateDir: string | undefined) {
    this.#path = stateDir === undefined ? present() : `${stateDir}/local/agent.sock`;
    this.#http = Deno.createHttpClient({ proxy: { transport: "unix", path: this.#path } });
  }

  async call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const init = body === undefined ? {} : { body: JSON.stringify(body) };
    return await (await this.#send(method, path, init)).json() as T;
  }

  /** A text as it comes. */
  async *text(path: string, signal: AbortSignal): AsyncGenerator<Uint8Array, void> {
    yield* (await this.#send("GET", path, { signal })).body ?? [];
  }

  close(): void {
    this.#http.close();
  }

  async #send(method: string, path: string, init: RequestInit): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(`${SOCKET_ORIGIN}${path}`, { method, ...init, client: this.#http });
    } catch (thrown) {
      if (thrown instanceof DOMException) throw thrown;
      throw new CoveyError("unavailable", await this.#whyNot(), { cause: thrown });
    }
    if (response.ok) return response;
    const { message } = await response.json() as { message: string };
    throw new CoveyError(CODES[response.status] ?? "unknown", message, { cause: response.status });
  }

  /** `fetch` says it in words only. */
  async #whyNot(): Promise<string> {
    try {
      (await Deno.connect({ transport: "unix", path: this.#path })).close();
      return `Cannot talk to the agent at ${this.#path}: it gives no answer`;
    } catch (thrown) {
      if (thrown instanceof Deno.errors.PermissionDenied) {
        return `Cannot talk to the agent at ${this.#path}: only its own user may, and the group in /etc/covey/local`;
      }
      return `Cannot talk to the agent at ${this.#path}: none runs there; name its folder with --state-dir`;
    }
  }
}

function present(): string {
  return PLACES.find((path) => {
    try {
      return Deno.statSync(path) !== undefined;
    } catch (thrown) {
      return thrown instanceof Deno.errors.PermissionDenied;
    }
  }) ?? PLACES[0]!;
}
