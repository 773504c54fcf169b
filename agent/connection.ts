/** What the agent needs of the transport: a connection to one manager. */
import type { CoveyError } from "../api/errors.ts";

/** How long a call may take, and how to give it up. */
export interface CallOptions {
  signal?: AbortSignal;
  timeoutMs?: number;
}

/** An authenticated connection to a manager. */
export interface ManagerConnection {
  /** Resolves when the connection is closed, with the error if there was one. */
  readonly closed: Promise<CoveyError | undefined>;
  call<T>(method: string, request: unknown, options?: CallOptions): Promise<T>;
  serverStream<T>(method: string, request: unknown, options?: CallOptions): AsyncIterable<T>;
  close(reason?: CoveyError): void;
}

/** Opens connections to managers; HOST:PORT. */
export interface ManagerDialer {
  dial(address: string, options?: CallOptions): Promise<ManagerConnection>;
}
