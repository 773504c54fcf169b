/** A follower's side of the control API: hands requests to the leader. */
import { CoveyError } from "../../api/errors.ts";
import {
  CONTROL_METHOD,
  type ControlHead,
  type ControlRequest,
  MAX_FORWARDED_BODY_BYTES,
} from "./control_messages.ts";
import type { LeaderLink } from "./leader_link.ts";
import { openStream } from "./leader_stream.ts";

/** Bytes of bodies that are being handed on, waiting included: an election must not fill a small device's memory. */
export const MAX_PENDING_BODY_BYTES = 32 * 1024 * 1024;

/** Headers that speak of the client's own connection (RFC 9110, 7.6.1) or of a body that is sent as it is. */
const CONNECTION_HEADERS = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

type Items = AsyncIterableIterator<ControlHead | Uint8Array<ArrayBuffer>>;

/** Hands a request on and gives back the leader's response; holds what is on its way to a bound. */
export class ControlForwarder {
  readonly #link: LeaderLink;
  #pendingBytes = 0;

  constructor(link: LeaderLink) {
    this.#link = link;
  }

  /**
   * The leader's response; of this manager, if it leads, what `here` answers, or undefined without that. Only reads are
   * repeated after a broken connection. Rejects as {@linkcode LeaderLink.run} does, or with `resource_exhausted` for bodies that are too large,
   * alone or together.
   */
  async forward(
    request: ControlRequest,
    here?: () => Promise<Response>,
  ): Promise<Response | undefined> {
    if (!here && this.#link.isLeader) return undefined;
    const { length } = request.Body;
    if (length > MAX_FORWARDED_BODY_BYTES) {
      throw tooLarge(`the body has ${length} bytes, more than ${MAX_FORWARDED_BODY_BYTES}`, false);
    }
    if (this.#pendingBytes + length > MAX_PENDING_BODY_BYTES) {
      throw tooLarge(`bodies of ${this.#pendingBytes} bytes are being handed on already`, true);
    }
    const Headers = request.Headers.filter(([name]) => !CONNECTION_HEADERS.has(name.toLowerCase()));
    const held = length + request.Path.length;
    this.#pendingBytes += held;
    try {
      return await this.#link.run<Response | undefined>({
        local: here ?? (() => undefined),
        remote: async (lease) =>
          await toResponse(
            await openStream(lease, (to) => to.serverStream(CONTROL_METHOD, { ...request, Headers })),
          ),
        idempotent: request.Method === "GET" || request.Method === "HEAD",
      });
    } finally {
      this.#pendingBytes -= held;
    }
  }
}

function tooLarge(why: string, retryable: boolean): CoveyError {
  return new CoveyError("resource_exhausted", `Cannot hand the request to the leader: ${why}`, { retryable });
}

async function toResponse(items: Items): Promise<Response> {
  const { value: head } = await items.next();
  if (head === undefined || head instanceof Uint8Array || !Array.isArray(head.Headers)) {
    await items.return?.();
    throw new CoveyError("internal", "Cannot hand the request to the leader: its answer has no head");
  }
  const { Status: status, Headers: headers, Body } = head;
  if (Body === undefined) return new Response(bodyOf(items), { status, headers });
  // The stream's end follows at once and is taken, so that the call is over; if the connection breaks instead, the answer is
  // complete all the same.
  await items.next().catch(() => {});
  return new Response(Body.length > 0 ? Body : null, { status, headers });
}

/** The pieces as they are asked for, so that a slow client holds back the leader. */
function bodyOf(items: Items): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    async pull(controller) {
      const next = await items.next();
      if (next.done) controller.close();
      else if (next.value instanceof Uint8Array) controller.enqueue(next.value);
    },
    async cancel() {
      await items.return?.();
    },
  }, { highWaterMark: 0 });
}
