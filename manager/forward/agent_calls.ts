/**
 * Agents may be connected to any manager: one that does not lead hands their calls to the leader, in the agent's name. See
 * {@linkcode ForwardedCall} for what crosses the wire.
 */
import { isShowable } from "../../api/characters.ts";
import { CoveyError } from "../../api/errors.ts";
import type {
  CallContext,
  CallOptions,
  DuplexHandler,
  Method,
  ServerStreamHandler,
  UnaryHandler,
} from "../../transport/mod.ts";
import type { LeaderLink } from "./leader_link.ts";
import { openStream, untouched } from "./leader_stream.ts";
import { handedToFollower } from "../consensus/mod.ts";

/** Characters of HOST:PORT: an IPv6 address with a zone, and slack. */
const MAX_ADDRESS_LENGTH = 300;

/**
 * Request of a call that one manager makes for an agent: only such a call has a `forwardedFor`, which only managers may
 * set, so an agent that sends this shape itself is not taken for a manager.
 */
interface ForwardedCall {
  /** HOST:PORT of the agent, as the manager it is connected to sees it. */
  RemoteAddress: string;
  Request: unknown;
}

/** `methods` as they are to be offered to agents on every manager. Each call may be made twice without harm. */
export function agentMethods(methods: Record<string, Method>, link: LeaderLink): Record<string, Method> {
  return Object.fromEntries(
    Object.entries(methods).map(([name, method]) => [name, routed(name, method, link)]),
  );
}

function routed(name: string, method: Method, link: LeaderLink): Method {
  switch (method.kind) {
    case "unary":
      return { ...method, handler: routedUnary(name, method.handler, link) };
    case "server_stream":
      return { ...method, handler: routedStream(name, method.handler, link) };
    case "duplex":
      return { ...method, handler: routedDuplex(name, method.handler, link) };
    case "client_stream":
      throw new CoveyError("unimplemented", `Cannot route ${name}: client streams are not handed on`);
  }
}

function routedUnary(name: string, handler: UnaryHandler, link: LeaderLink): UnaryHandler {
  // deno-lint-ignore require-await
  return async (request, caller) => {
    if (caller.forwardedFor) {
      const call = forwardedCall(name, request, caller, link);
      return handler(call.request, call.caller);
    }
    return link.run({
      local: () => handler(request, caller),
      remote: ({ connection }) => connection.call(name, wrapped(request, caller), optionsFor(caller)),
      idempotent: true,
      signal: caller.signal,
    });
  };
}

function routedStream(name: string, handler: ServerStreamHandler, link: LeaderLink): ServerStreamHandler {
  return async function* (request, caller) {
    if (caller.forwardedFor) {
      const call = forwardedCall(name, request, caller, link);
      return yield* handler(call.request, call.caller);
    }
    yield* await link.run<AsyncIterable<unknown>>({
      local: () => handler(request, caller),
      remote: (lease) =>
        openStream(lease, (to) => to.serverStream(name, wrapped(request, caller), optionsFor(caller))),
      idempotent: true,
      signal: caller.signal,
    });
  };
}

/** Both directions have the windows of both connections: whoever does not read holds back the one at the other end. */
function routedDuplex(name: string, handler: DuplexHandler, link: LeaderLink): DuplexHandler {
  return async function* (request, requests, caller) {
    if (caller.forwardedFor) {
      const call = forwardedCall(name, request, caller, link);
      return yield* handler(call.request, requests, call.caller);
    }
    yield* await link.run<AsyncIterable<unknown>>({
      local: () => handler(request, requests, caller),
      remote: (lease) =>
        openStream(
          lease,
          (to) => to.duplex(name, wrapped(request, caller), untouched(requests), optionsFor(caller)),
        ),
      idempotent: true,
      signal: caller.signal,
    });
  };
}

function wrapped(Request: unknown, { remoteAddress }: CallContext): ForwardedCall {
  return { RemoteAddress: remoteAddress, Request };
}

function optionsFor({ peer, signal }: CallContext): CallOptions {
  return { signal, ...(peer && { forwardedFor: peer }) };
}

/** The agent's own request and context. Throws unless this manager leads: a call is handed on once. */
function forwardedCall(name: string, value: unknown, caller: CallContext, link: LeaderLink) {
  const { RemoteAddress, Request } = (value ?? {}) as Partial<ForwardedCall>;
  if (
    typeof RemoteAddress !== "string" || RemoteAddress.length > MAX_ADDRESS_LENGTH ||
    !isShowable(RemoteAddress)
  ) {
    throw new CoveyError("invalid_argument", `Cannot call ${name}: the agent's address is missing`);
  }
  if (!link.isLeader) throw handedToFollower();
  const { peer, forwardedFor, deadline } = caller;
  const context: CallContext = {
    peer,
    remoteAddress: RemoteAddress,
    get signal() {
      return caller.signal;
    },
    ...(deadline !== undefined && { deadline }),
    ...(forwardedFor && { forwardedFor }),
  };
  return { request: Request, caller: context };
}
