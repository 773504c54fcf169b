/** What is asked of nodes besides running their tasks: told in their sessions' messages until it is over, answered by calls. */
import type { Ask } from "../../api/dispatcher.ts";
import { CoveyError } from "../../api/errors.ts";
import { type LogPush, type LogPushAnswer, MAX_ASKS_PER_NODE } from "../../api/logs.ts";

/** Whether a node can be asked now; `unable`: its agent is of a version that does not answer this kind. */
export type Reach = "connected" | "away" | "unable";

/** Who asks. */
export interface Asker {
  /** What the node is told; may change, see {@linkcode OpenAsk.changed}. */
  ask(): Ask;
  /** Takes a push, and resolves when there is room for the next; `signal` aborts when the node gives up. */
  take?(push: LogPush, signal: AbortSignal): Promise<LogPushAnswer>;
  /** Takes what the node sends, and gives what it is to get. */
  join?(fromNode: AsyncIterableIterator<unknown>, signal: AbortSignal): AsyncIterable<unknown>;
  /** The node came or went. */
  reached(reach: Reach): void;
  /** This manager leads no longer. */
  ended(reason: CoveyError): void;
}

/** An ask that stands until it is closed. */
export interface OpenAsk {
  /** There is something else to tell the node. */
  changed(): void;
  close(): void;
}

/** Tells of the sessions that there are. */
export interface Sessions {
  reach(nodeID: string, kind: Ask["Kind"]): Reach;
  /** The session's message has changed. */
  touch(nodeID: string): void;
  /** Throws unless this manager leads. */
  checkLeading(): void;
}

/** The asks of all nodes; nothing of it outlives the leader's term. */
export class AskTable {
  readonly #sessions: Sessions;
  readonly #byNode = new Map<string, Map<string, Asker>>();

  constructor(sessions: Sessions) {
    this.#sessions = sessions;
  }

  /** Asks a node, now or when it comes. Throws `resource_exhausted` where too much is asked of it already. */
  open(nodeID: string, asker: Asker): OpenAsk {
    this.#sessions.checkLeading();
    const asks = this.#byNode.get(nodeID) ?? new Map<string, Asker>();
    if (asks.size >= MAX_ASKS_PER_NODE) {
      throw new CoveyError(
        "resource_exhausted",
        `Cannot ask node ${nodeID}: ${asks.size} clients ask it for something already`,
        { retryable: true },
      );
    }
    const { ID, Kind } = asker.ask();
    this.#byNode.set(nodeID, asks.set(ID, asker));
    asker.reached(this.#sessions.reach(nodeID, Kind));
    this.#sessions.touch(nodeID);
    return {
      changed: () => this.#sessions.touch(nodeID),
      close: () => {
        if (asks.get(ID) !== asker) return;
        asks.delete(ID);
        if (asks.size === 0) this.#byNode.delete(nodeID);
        this.#sessions.touch(nodeID);
      },
    };
  }

  /** What a node whose agent answers `kinds` is to be told. */
  of(nodeID: string, kinds: ReadonlySet<string>): Ask[] {
    const asks = [...this.#byNode.get(nodeID)?.values() ?? []].map((asker) => asker.ask());
    return asks.filter(({ Kind }) => kinds.has(Kind));
  }

  /** A node's push goes to who asked. */
  async take(nodeID: string, push: LogPush, signal: AbortSignal): Promise<LogPushAnswer> {
    return await this.#byNode.get(nodeID)?.get(push.AskID)?.take?.(push, signal) ?? { Over: true };
  }

  /** A node's call for a stream goes to who asked for it. Throws `not_found` where nobody does any more. */
  join(
    nodeID: string,
    streamID: string,
    fromNode: AsyncIterableIterator<unknown>,
    signal: AbortSignal,
  ): AsyncIterable<unknown> {
    const toNode = this.#byNode.get(nodeID)?.get(streamID)?.join?.(fromNode, signal);
    if (toNode) return toNode;
    throw new CoveyError("not_found", `Cannot open the stream: nobody asks node ${nodeID} for ${streamID}`);
  }

  /** Ends all. */
  stop(reason: CoveyError): void {
    const askers = [...this.#byNode.values()].flatMap((asks) => [...asks.values()]);
    this.#byNode.clear();
    for (const asker of askers) asker.ended(reason);
  }

  /** A node has got a session, or lost it. */
  sessionChanged(nodeID: string): void {
    for (const asker of [...this.#byNode.get(nodeID)?.values() ?? []]) {
      asker.reached(this.#sessions.reach(nodeID, asker.ask().Kind));
    }
  }
}
