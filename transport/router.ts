import { CoveyError } from "../api/errors.ts";
import { MAX_METHOD_NAME_LENGTH } from "./limits.ts";
import type { Method, MethodKind, MethodSummary, PeerIdentity, Router } from "./types.ts";

const METHOD_NAME = /^[a-z][a-zA-Z0-9_]*(\.[a-z][a-zA-Z0-9_]*)+$/;

/** The role that decides: a forwarded caller's own, if a manager vouches for it. */
function effectiveCaller(name: string, peer: PeerIdentity | undefined, forwardedFor?: PeerIdentity) {
  if (forwardedFor === undefined) return peer;
  if (peer?.role === "swarm-manager") return forwardedFor;
  const caller = peer ? `role ${peer.role}` : "a caller without a certificate";
  throw new CoveyError("permission_denied", `Cannot call ${name}: ${caller} may not forward calls`);
}

function checkAccess(name: string, method: Method, caller: PeerIdentity | undefined): void {
  if (method.access === "anyone") return;
  if (caller === undefined) {
    throw new CoveyError("unauthenticated", `Cannot call ${name}: it needs a node certificate`);
  }
  if (method.access === "manager" && caller.role !== "swarm-manager") {
    throw new CoveyError(
      "permission_denied",
      `Cannot call ${name}: it needs role swarm-manager, the caller ${caller.nodeID} has ${caller.role}`,
    );
  }
}

class MethodRouter implements Router {
  readonly #methods = new Map<string, Method>();

  register(name: string, method: Method): void {
    if (!METHOD_NAME.test(name) || name.length > MAX_METHOD_NAME_LENGTH) {
      throw new CoveyError(
        "invalid_argument",
        `Cannot register method: "${name}" is not of the form part.call`,
      );
    }
    if (this.#methods.has(name)) {
      throw new CoveyError("already_exists", `Cannot register method: ${name} is registered already`);
    }
    this.#methods.set(name, method);
  }

  methods(): MethodSummary[] {
    return [...this.#methods]
      .map(([name, { kind, access }]) => ({ name, kind, access }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  resolve(
    name: string,
    kind: MethodKind,
    peer: PeerIdentity | undefined,
    forwardedFor?: PeerIdentity,
  ): Method {
    const method = this.#methods.get(name);
    if (method === undefined) {
      const shown = name.slice(0, MAX_METHOD_NAME_LENGTH).toWellFormed();
      throw new CoveyError("unimplemented", `Cannot call ${shown}: no such method`);
    }
    checkAccess(name, method, effectiveCaller(name, peer, forwardedFor));
    if (method.kind !== kind) {
      throw new CoveyError("invalid_argument", `Cannot call ${name}: it is ${method.kind}, not ${kind}`);
    }
    return method;
  }
}

/** A router without methods. */
export function createRouter(): Router {
  return new MethodRouter();
}
