/** Makes every manager answer everything: what is the leader's to do is handed to it. */
import type { Method } from "../../transport/mod.ts";
import type { ForwardToLeader } from "../ca/mod.ts";
import { agentMethods } from "./agent_calls.ts";
import { caLeader } from "./ca_calls.ts";
import { ControlForwarder } from "./control_forwarder.ts";
import { CONTROL_METHOD, type ControlRequest } from "./control_messages.ts";
import { type Answer, controlMethod } from "./control_server.ts";
import type { StreamRequest } from "../../api/streams.ts";
import type { Caller } from "../control/caller.ts";
import { type OpenTaskStream, STREAM_METHOD, StreamForwarder, streamMethod } from "./task_streams.ts";
import { LeaderLink, type LeaderLinkOptions } from "./leader_link.ts";

/** What routing works with. */
export interface RoutingOptions extends LeaderLinkOptions {
  /** Answers a request of the control API that a follower handed on, without handing it on again. */
  answer: Answer;
  /** Opens a stream into a task, while this manager leads. */
  openTaskStream: OpenTaskStream;
}

/** One manager's routing. */
export class Routing {
  /** For `CAServerOptions.leader`. */
  readonly caLeader: () => ForwardToLeader | undefined;
  readonly #link: LeaderLink;
  readonly #control: ControlForwarder;
  readonly #answer: Answer;
  readonly #openTaskStream: OpenTaskStream;
  readonly #streams: StreamForwarder;

  constructor({ answer, openTaskStream, ...options }: RoutingOptions) {
    this.#link = new LeaderLink(options);
    this.#control = new ControlForwarder(this.#link);
    this.#answer = answer;
    this.#openTaskStream = openTaskStream;
    this.#streams = new StreamForwarder(this.#link, openTaskStream);
    this.caLeader = caLeader(this.#link);
  }

  /** What to register with the transport: `agents`' methods, routed, and those that followers call. */
  methods(agents: Record<string, Method>): Record<string, Method> {
    return {
      ...agentMethods(agents, this.#link),
      [CONTROL_METHOD]: controlMethod(this.#answer, this.#link),
      [STREAM_METHOD]: streamMethod(this.#openTaskStream, this.#link),
    };
  }

  /** See {@linkcode ControlForwarder.forward}. */
  forward(request: ControlRequest, here?: () => Promise<Response>): Promise<Response | undefined> {
    return this.#control.forward(request, here);
  }

  /** See {@linkcode StreamForwarder.open}. */
  openStream(
    request: StreamRequest,
    caller: Caller,
    fromClient: AsyncIterator<Uint8Array>,
    signal: AbortSignal,
  ): Promise<AsyncIterableIterator<unknown>> {
    return this.#streams.open(request, caller, fromClient, signal);
  }

  /** Ends what waits for a leader and closes the connection to it. */
  close(): void {
    this.#link.close();
  }
}
