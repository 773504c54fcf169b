/** Streams into tasks, on whatever manager they are asked for: the leader opens them. */
import { CoveyError } from "../../api/errors.ts";
import type { StreamRequest } from "../../api/streams.ts";
import { checkStreamUse } from "../../api/validate/mod.ts";
import type { Method } from "../../transport/mod.ts";
import { handedToFollower } from "../consensus/mod.ts";
import { type Caller, checkCaller } from "../control/caller.ts";
import type { LeaderLink } from "./leader_link.ts";
import { begun, openStream, untouched } from "./leader_stream.ts";

/** Duplex, managers only: {@linkcode HandedStream}; pieces of bytes both ways, the first one from the leader empty. */
export const STREAM_METHOD = "control.stream";

/** Opens a stream here and nowhere else. */
export type OpenTaskStream = (
  request: StreamRequest,
  caller: Caller,
  fromClient: AsyncIterable<unknown>,
  signal: AbortSignal,
) => AsyncIterable<Uint8Array>;

/** A client's request, with who that is. */
interface HandedStream extends StreamRequest {
  Caller: Caller;
}

/** Opens streams for the clients of this manager. */
export class StreamForwarder {
  readonly #link: LeaderLink;
  readonly #open: OpenTaskStream;

  constructor(link: LeaderLink, open: OpenTaskStream) {
    this.#link = link;
    this.#open = open;
  }

  /** Resolves once the task's node is there. Rejects as {@linkcode LeaderLink.run} and `StreamBroker.open` do. */
  open(
    request: StreamRequest,
    caller: Caller,
    fromClient: AsyncIterator<Uint8Array>,
    signal: AbortSignal,
  ): Promise<AsyncIterableIterator<unknown>> {
    const handed: HandedStream = { ...request, Caller: caller };
    return this.#link.run<AsyncIterableIterator<unknown>>({
      local: () => begun(this.#open(request, caller, untouched(fromClient), signal)),
      remote: (lease) =>
        openStream(lease, (to) => to.duplex(STREAM_METHOD, handed, untouched(fromClient), { signal })),
      // A command that ran must not run again.
      idempotent: false,
      signal,
    });
  }
}

/** The method to offer as {@linkcode STREAM_METHOD}. */
export function streamMethod(open: OpenTaskStream, link: LeaderLink): Method {
  return {
    kind: "duplex",
    access: "manager",
    handler: (value, fromClient, { signal }) => {
      if (!link.isLeader) throw handedToFollower();
      const { Caller, ...request } = checkHanded(value);
      return open(request, Caller, fromClient, signal);
    },
  };
}

function checkHanded(value: unknown): HandedStream {
  const { TaskID, Use, Caller } = (value ?? {}) as Partial<Record<keyof HandedStream, unknown>>;
  if (typeof TaskID === "string") return { TaskID, Use: checkStreamUse(Use), Caller: checkCaller(Caller) };
  throw new CoveyError("invalid_argument", "Cannot open a stream: it does not say into which task");
}
