/** What the dispatcher needs of the transport: who calls, and the shape of a method. */
import { CoveyError } from "../../api/errors.ts";

/** The caller, as the transport authenticated it. */
export interface Caller {
  peer: { nodeID: string } | undefined;
  /** HOST:PORT */
  remoteAddress: string;
  signal: AbortSignal;
}

/** A method as the transport's router registers it. */
export type DispatcherMethod =
  | {
    kind: "unary";
    access: "node";
    handler: (request: unknown, caller: Caller) => Promise<unknown>;
  }
  | {
    kind: "server_stream";
    access: "node";
    handler: (request: unknown, caller: Caller) => AsyncIterable<unknown>;
  };

/** The caller's node ID. Throws `unauthenticated` without one. */
export function callerID(caller: Caller): string {
  if (caller.peer === undefined) {
    throw new CoveyError("unauthenticated", "Cannot serve the call: the caller showed no certificate");
  }
  return caller.peer.nodeID;
}

/** The host part of HOST:PORT, without the brackets of an IPv6 address. */
export function hostOf(address: string): string {
  const colon = address.lastIndexOf(":");
  if (colon < 0 || address.indexOf("]") > colon) return address;
  return address.slice(0, colon).replace(/^\[|\]$/g, "");
}
