import type { MethodKind, PeerIdentity } from "./types.ts";
import { malformed } from "./malformed.ts";

/** The fields of an `open` frame. */
export interface OpenFrame {
  id: number;
  kind: MethodKind;
  name: string;
  request: unknown;
  timeoutMs: number;
  credit: number;
  forwardedFor: PeerIdentity | undefined;
}

/** A stream ID: a positive safe integer. */
export function requireID(value: unknown): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 1) throw malformed("no call ID");
  return value;
}

/** A finite number that is not negative. */
export function requireNumber(value: unknown, what: string): number {
  if (typeof value !== "number" || !Number.isFinite(value) || value < 0) {
    throw malformed(`no number as ${what}`);
  }
  return value;
}

function parseIdentity(value: unknown): PeerIdentity | undefined {
  if (value === undefined) return undefined;
  const { nodeID, clusterID, role, certificatePEM } = (value ?? {}) as Partial<PeerIdentity>;
  const named = typeof nodeID === "string" && typeof clusterID === "string";
  if (!named || typeof certificatePEM !== "string" || (role !== "swarm-manager" && role !== "swarm-worker")) {
    throw malformed("no identity of a forwarded caller");
  }
  return { nodeID, clusterID, role, certificatePEM };
}

function isKind(value: unknown): value is MethodKind {
  return value === "unary" || value === "server_stream" || value === "client_stream" || value === "duplex";
}

/** Reads an `open` frame. Throws `invalid_argument`. */
export function parseOpen(frame: readonly unknown[]): OpenFrame {
  const [, id, kind, name, request, timeoutMs, credit, forwardedFor] = frame;
  if (!isKind(kind)) throw malformed("no kind of call");
  if (typeof name !== "string") throw malformed("no method name");
  return {
    id: requireID(id),
    kind,
    name,
    request,
    timeoutMs: requireNumber(timeoutMs, "timeout"),
    credit: requireNumber(credit, "credit"),
    forwardedFor: parseIdentity(forwardedFor),
  };
}
