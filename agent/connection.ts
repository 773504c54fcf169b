/** What the agent needs of the transport, and no more: tests have less to stand in for. */
import type { CallOptions, Connection } from "../transport/mod.ts";

/** An authenticated connection to a manager. */
export type ManagerConnection =
  & Pick<Connection, "closed" | "call" | "serverStream" | "duplex" | "close" | "localAddress">
  & Partial<Pick<Connection, "expectSilence">>;

/** Opens connections to managers, HOST:PORT each. */
export interface ManagerDialer {
  dial(address: string, options?: CallOptions): Promise<ManagerConnection>;
  /** Whether a connection was made with a certificate by another issuer than the node's present one: it will be closed. */
  isOutdated?(connection: ManagerConnection): boolean;
}
