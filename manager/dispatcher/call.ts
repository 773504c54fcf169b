/** The caller of a dispatcher's method. */
import { CoveyError } from "../../api/errors.ts";
import { type CallContext, parseAddress } from "../../transport/mod.ts";

/** The caller's node ID; another manager calls for the node that is connected to it. Throws `unauthenticated` without one. */
export function callerID(context: CallContext): string {
  const peer = context.forwardedFor ?? context.peer;
  if (peer === undefined) {
    throw new CoveyError("unauthenticated", "Cannot serve the call: the caller showed no certificate");
  }
  return peer.nodeID;
}

/** The caller's address without its port. */
export function callerHost(context: CallContext): string {
  return parseAddress(context.remoteAddress).host;
}
