/** The Docker Engine API over its Unix socket, from inside the agent's sandbox. */
import { fetchFailure } from "../../api/fetch_failure.ts";
import { CoveyError, type ErrorCode } from "../../api/errors.ts";

/**
 * The name in every request's URL. It resolves nowhere, so the sandbox can allow it without allowing anything
 * else: `--allow-net=unix:SOCKET,docker.invalid:80 --allow-read=SOCKET --allow-write=SOCKET`.
 */
const ENGINE_HOST = "docker.invalid";
/** The version every engine since 20.10 speaks. */
const API_VERSION = "v1.41";
/** Longest answer or line of a stream; `/containers/json` and inspections stay far below. */
const MAX_ANSWER_BYTES = 8 * 1024 * 1024;

const CODES: Record<number, ErrorCode> = {
  400: "invalid_argument",
  401: "unauthenticated",
  403: "permission_denied",
  404: "not_found",
  409: "already_exists",
  501: "unimplemented",
  503: "unavailable",
};

/** Query parameters; undefined ones are left out. */
export type Query = Record<string, string | undefined>;

/** One engine. */
export class EngineClient {
  readonly #socket: string;
  #client: Deno.HttpClient | undefined;

  constructor(socket: string) {
    this.#socket = socket;
  }

  /**
   * One call; the parsed answer, or undefined if it has no body (204, 304).
   *
   * @throws {CoveyError} with the engine's own message; `unavailable` and retryable if it cannot be reached.
   */
  async call<T>(method: string, path: string, options: CallOptions = {}): Promise<T> {
    const response = await this.#fetch(method, path, options);
    const text = await readAll(response);
    return (text === "" ? undefined : JSON.parse(text)) as T;
  }

  /** The JSON objects that a streaming call sends, one by one. Ends with the stream; aborts with the signal. */
  async *stream<T>(method: string, path: string, options: CallOptions = {}): AsyncGenerator<T> {
    const response = await this.#fetch(method, path, options);
    options.onOpen?.();
    let rest = "";
    const decoder = new TextDecoder();
    try {
      for await (const chunk of response.body ?? []) {
        const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
        rest = lines.pop()!;
        if (rest.length > MAX_ANSWER_BYTES) throw tooLong(path);
        for (const line of lines) if (line.trim() !== "") yield JSON.parse(line) as T;
      }
    } catch (error) {
      throw this.#broken(method, path, error, options.signal);
    }
    if (rest.trim() !== "") yield JSON.parse(rest) as T;
  }

  /** Ends all connections. */
  close(): void {
    this.#client?.close();
    this.#client = undefined;
  }

  async #fetch(method: string, path: string, options: CallOptions): Promise<Response> {
    const query = new URLSearchParams();
    for (const [key, value] of Object.entries(options.query ?? {})) {
      if (value !== undefined) query.set(key, value);
    }
    const url = `http://${ENGINE_HOST}/${API_VERSION}${path}${query.size > 0 ? `?${query}` : ""}`;
    let response: Response;
    try {
      this.#client ??= Deno.createHttpClient({ proxy: { transport: "unix", path: this.#socket } });
      response = await fetch(url, {
        method,
        client: this.#client,
        ...options.signal ? { signal: options.signal } : {},
        ...options.body === undefined ? {} : { body: JSON.stringify(options.body), headers: JSON_HEADERS },
      });
    } catch (error) {
      throw this.#broken(method, path, error, options.signal);
    }
    if (response.ok || response.status === 304) return response;
    throw engineError(response.status, await readAll(response));
  }

  #broken(method: string, path: string, error: unknown, signal?: AbortSignal): unknown {
    if (signal?.aborted) return signal.reason;
    if (error instanceof CoveyError) return error;
    const message = `Cannot reach the Docker Engine at ${this.#socket}: ${method} ${path}: ${
      fetchFailure(error)
    }`;
    return new CoveyError(
      error instanceof Deno.errors.NotCapable ? "permission_denied" : "unavailable",
      message,
      {
        cause: error,
      },
    );
  }
}

/** What goes with a call. */
export interface CallOptions {
  query?: Query;
  body?: unknown;
  signal?: AbortSignal;
  /** Called when a stream has begun, though nothing came through it yet. */
  onOpen?: () => void;
}

const JSON_HEADERS = { "content-type": "application/json" };

async function readAll(response: Response): Promise<string> {
  const parts: string[] = [], decoder = new TextDecoder();
  let length = 0;
  for await (const chunk of response.body ?? []) {
    if ((length += chunk.length) > MAX_ANSWER_BYTES) throw tooLong(response.url);
    parts.push(decoder.decode(chunk, { stream: true }));
  }
  return parts.join("");
}

function tooLong(path: string): CoveyError {
  return new CoveyError(
    "resource_exhausted",
    `Cannot read the Docker Engine's answer to ${path}: longer than ${MAX_ANSWER_BYTES} bytes`,
  );
}

/** Keeps the engine's words, as `docker service ps` shows them. */
function engineError(status: number, body: string): CoveyError {
  let message = body.trim();
  try {
    message = (JSON.parse(body) as { message?: string }).message ?? message;
  } catch {
    // A proxy or a broken engine answers in its own words.
  }
  return new CoveyError(CODES[status] ?? "internal", message || `the Docker Engine answered ${status}`);
}
