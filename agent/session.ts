/**
 * One session with a manager: registers, then sends heartbeats and follows assignments until something fails.
 *
 *     describe the node ---> open the stream --- first message ---> registered: heartbeats, messages, assignments, statuses
 *       |                      |                                      |  |
 *       |                      |                                      |  '--- the node describes itself otherwise ---> resolves
 *       '----------------------+--------------------------------------'--- anything fails --------------------------> rejects
 *
 * When it resolves, the next session is opened at once over the same connection; when it rejects, the agent picks a manager
 * again after a pause.
 */
import { type Clock, sleep } from "../api/clock.ts";
import {
  ASK_KINDS,
  ASSIGNMENT_KINDS,
  type AssignmentChange,
  type AssignmentsMessage,
  DISPATCHER_METHODS,
  type HeartbeatResponse,
  type RenewedSeal,
  type SessionMessage,
  type SessionRequest,
} from "../api/dispatcher.ts";
import { inWords } from "../api/duration.ts";
import { CoveyError } from "../api/errors.ts";
import type { NodeDescription } from "../api/node.ts";
import { METRICS_PERIOD_MS, type NodeMetrics } from "../api/node_metrics.ts";
import type { LogPushAnswer } from "../api/logs.ts";
import type { RelayCall } from "../api/relay.ts";
import type { ManagerConnection } from "./connection.ts";
import type { DrainCalls } from "./drains.ts";
import type { SendLogs } from "./log_answer.ts";
import type { OpenRelay } from "../network/relay_pipe.ts";
import type { OpenStream } from "./streams/stream_answers.ts";
import type { Patience } from "./patience.ts";
import type { SendStatuses } from "./status_reporter.ts";

/** How often the node's description is checked (SwarmKit). */
const DESCRIBE_PERIOD_MS = 20_000;

/** Who is asked for heartbeats this rarely has a link that costs by the byte. */
const RARE_HEARTBEAT_MS = 5 * 60_000;
/** Of the silence between two heartbeats: the next period is drawn anew, and may be 22 % longer. */
const SILENCE_PERIODS = 1.25;

/** Hands a manager seals that the node has renewed. */
export type RenewSeals = (seals: RenewedSeal[]) => Promise<void>;

/** What can be sent in a session. */
export interface SessionCalls {
  send: SendStatuses;
  renew: RenewSeals;
  sendLogs: SendLogs;
  openStream: OpenStream;
  openRelay: OpenRelay;
  drains: DrainCalls;
}

/** What a session tells the agent. */
export interface SessionEvents {
  /** The session is registered; `message` is the first one. */
  onRegistered: (message: SessionMessage, calls: SessionCalls) => void;
  /** Every message of the session stream, the first one too. */
  onMessage: (message: SessionMessage) => void;
  /** The manager's time with a heartbeat, RFC 3339. */
  onTime: (time: string) => void;
  /** A complete set. May throw to refuse it, which ends the session. */
  onComplete: (changes: AssignmentChange[], index: number) => void;
  onIncremental: (changes: AssignmentChange[], index: number) => void;
  /** The manager is to be told when what came up to `index` is loaded. */
  onLoadAsked: (index: number) => void;
  /** How the device is, if anybody has measured. */
  metrics: () => NodeMetrics | undefined;
  /** The node's description now. */
  describe: (signal: AbortSignal) => Promise<NodeDescription>;
  /** Calls `look` when that is worth a look before its time, until what it returns is called. */
  onRestated: (look: () => void) => () => void;
}

/**
 * Runs a session until `signal` aborts or something fails, which rejects. Resolves only when the node's description changed,
 * so that the session has to be opened anew. `known` says who the agent is, with the ID of an earlier session to go on with.
 */
export async function runSession(
  clock: Clock,
  connection: ManagerConnection,
  patience: Patience,
  known: Pick<SessionRequest, "Agent" | "SessionID" | "Protocol">,
  events: SessionEvents,
  signal: AbortSignal,
): Promise<void> {
  const abort = new AbortController();
  const onAbort = () => abort.abort(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  const loops: Promise<unknown>[] = [];
  try {
    signal.throwIfAborted();
    const description = await events.describe(abort.signal);
    const LocalAddr = connection.localAddress;
    const Description = { ...description, ...(LocalAddr && { LocalAddr }) };
    const request: SessionRequest = { ...known, Description, Answers: [...ASK_KINDS] };
    const messages = connection
      .serverStream<SessionMessage>(DISPATCHER_METHODS.session, request, { signal: abort.signal })
      [Symbol.asyncIterator]();
    const first = await firstMessage(clock, patience, messages, abort);
    const session = new Session(clock, connection, patience, first.SessionID, events, abort.signal);
    events.onRegistered(first, {
      send: (updates) => session.sendStatuses(updates),
      renew: (seals) => session.renewSeals(seals),
      sendLogs: (push) => session.sendLogs(push),
      openStream: (id, toManager, signal) => session.openStream(id, toManager, signal),
      openRelay: (to, toManager, signal) => session.openRelay(to, toManager, signal),
      drains: session,
    });
    events.onMessage(first);
    loops.push(
      session.followMessages(messages),
      session.sendHeartbeats(),
      session.followAssignments(),
      session.watchDescription(description),
      connection.closed.then((error) => Promise.reject(error ?? disconnected())),
    );
    await Promise.race(loops);
  } finally {
    signal.removeEventListener("abort", onAbort);
    abort.abort(new CoveyError("canceled", "Cannot go on: the session ended"));
    await Promise.allSettled(loops.slice(0, -1));
    loops.at(-1)?.catch(() => {});
  }
}

async function firstMessage(
  clock: Clock,
  patience: Patience,
  messages: AsyncIterator<SessionMessage>,
  abort: AbortController,
): Promise<SessionMessage> {
  const cancel = clock.setTimer(patience.ms, () => {
    const late = `the manager does not answer within ${inWords(patience.ms)}`;
    abort.abort(new CoveyError("deadline_exceeded", `Cannot open a session: ${late}`));
  });
  try {
    const first = await messages.next();
    if (first.done) throw disconnected();
    return first.value;
  } finally {
    cancel();
  }
}

/** The loops of a registered session; each runs until it fails. */
class Session {
  readonly #clock: Clock;
  readonly #connection: ManagerConnection;
  readonly #patience: Patience;
  readonly #id: string;
  readonly #events: SessionEvents;
  readonly #signal: AbortSignal;
  #metricsAt = -Infinity;
  #silenceMs = 0;

  constructor(
    clock: Clock,
    connection: ManagerConnection,
    patience: Patience,
    id: string,
    events: SessionEvents,
    signal: AbortSignal,
  ) {
    this.#clock = clock;
    this.#connection = connection;
    this.#patience = patience;
    this.#id = id;
    this.#events = events;
    this.#signal = signal;
  }

  async sendStatuses(updates: Parameters<SendStatuses>[0]): Promise<void> {
    await this.#call(DISPATCHER_METHODS.updateTaskStatus, { SessionID: this.#id, Updates: updates });
  }

  /** Waits for as long as the manager has no room for more, so the time that it takes says nothing of the link. */
  async sendLogs(push: Parameters<SendLogs>[0]): Promise<LogPushAnswer> {
    const request = { ...push, SessionID: this.#id };
    return await this.#connection.call(DISPATCHER_METHODS.publishLogs, request, { signal: this.#signal });
  }

  /** Ends with the session, too. */
  openStream(id: string, toManager: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncIterable<unknown> {
    const request = { SessionID: this.#id, StreamID: id }, either = AbortSignal.any([signal, this.#signal]);
    return this.#connection.duplex(DISPATCHER_METHODS.stream, request, toManager, { signal: either });
  }

  openRelay(
    to: Omit<RelayCall, "SessionID">,
    toManager: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): AsyncIterable<unknown> {
    const request: RelayCall = { SessionID: this.#id, ...to },
      either = AbortSignal.any([signal, this.#signal]);
    return this.#connection.duplex(DISPATCHER_METHODS.relay, request, toManager, { signal: either });
  }

  async sendLoaded(index: number): Promise<void> {
    await this.#call(DISPATCHER_METHODS.loaded, { SessionID: this.#id, Index: index });
  }

  /** Waits for other nodes, so the time that it takes says nothing of the link. */
  async askDrained(taskID: string, signal: AbortSignal): Promise<void> {
    const request = { SessionID: this.#id, TaskID: taskID }, either = AbortSignal.any([signal, this.#signal]);
    await this.#connection.call(DISPATCHER_METHODS.drained, request, { signal: either });
  }

  async renewSeals(seals: RenewedSeal[]): Promise<void> {
    await this.#call(DISPATCHER_METHODS.renewSeals, { SessionID: this.#id, Seals: seals });
  }

  async followMessages(messages: AsyncIterator<SessionMessage>): Promise<never> {
    while (true) {
      const next = await messages.next();
      if (next.done) throw disconnected();
      this.#events.onMessage(next.value);
    }
  }

  async sendHeartbeats(): Promise<never> {
    while (true) {
      const metrics = this.#newMetrics(), sentAt = this.#clock.monotonic();
      const request = { SessionID: this.#id, ...(metrics && { Metrics: metrics }) };
      const response = await this.#call<HeartbeatResponse>(DISPATCHER_METHODS.heartbeat, request);
      this.#events.onTime(response.Time);
      this.#expectSilence(response.PeriodMs);
      // The manager counts from one heartbeat to the next, however far away it is.
      const tookMs = this.#clock.monotonic() - sentAt;
      await sleep(this.#clock, Math.max(0, response.PeriodMs - tookMs), this.#signal);
    }
  }

  /** Signs of life between heartbeats that are rare would cost more than these. */
  #expectSilence(periodMs: number): void {
    const isRare = periodMs >= RARE_HEARTBEAT_MS;
    if (isRare && periodMs <= this.#silenceMs && 2 * periodMs >= this.#silenceMs) return;
    this.#silenceMs = isRare ? Math.round(SILENCE_PERIODS * periodMs) : 0;
    this.#connection.expectSilence?.(this.#silenceMs);
  }

  /** In the session's first heartbeat, and then rarely. */
  #newMetrics(): NodeMetrics | undefined {
    const now = this.#clock.monotonic();
    if (now - this.#metricsAt < METRICS_PERIOD_MS) return undefined;
    const metrics = this.#events.metrics();
    if (metrics) this.#metricsAt = now;
    return metrics;
  }

  async followAssignments(): Promise<never> {
    let version = "", isWhole = false;
    let complete: AssignmentChange[] = [];
    const stream = this.#connection.serverStream<AssignmentsMessage>(
      DISPATCHER_METHODS.assignments,
      { SessionID: this.#id, Kinds: ASSIGNMENT_KINDS },
      { signal: this.#signal },
    );
    for await (const message of stream) {
      if (message.AppliesTo !== version) {
        throw new CoveyError("data_loss", "Cannot follow assignments: a message is missing", {
          retryable: true,
        });
      }
      version = message.ResultsIn;
      // Earlier managers called what came meanwhile complete, too: whoever believes that ends all other tasks.
      if (message.Type === "incremental" || isWhole) {
        this.#events.onIncremental(message.Changes, message.Index);
      } else {
        complete = complete.concat(message.Changes);
        if (message.More) continue;
        this.#events.onComplete(complete, message.Index);
        complete = [];
        isWhole = true;
      }
      if (message.Acknowledge) this.#events.onLoadAsked(message.Index);
    }
    throw disconnected();
  }

  /** Resolves when the description is not `reported` any more. */
  async watchDescription(reported: NodeDescription): Promise<void> {
    const before = JSON.stringify(reported);
    while (true) {
      await this.#untilLook();
      if (JSON.stringify(await this.#events.describe(this.#signal)) !== before) return;
    }
  }

  /** The period is over, or somebody knows better. */
  async #untilLook(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const forget = this.#events.onRestated(resolve);
    sleep(this.#clock, DESCRIBE_PERIOD_MS, this.#signal).then(resolve, reject);
    await promise.finally(forget);
  }

  async #call<T>(method: string, request: unknown): Promise<T> {
    const options = { signal: this.#signal, timeoutMs: this.#patience.ms }, sentAt = this.#clock.monotonic();
    const answer = await this.#connection.call<T>(method, request, options);
    this.#patience.took(this.#clock.monotonic() - sentAt);
    return answer;
  }
}

function disconnected(): CoveyError {
  return new CoveyError("unavailable", "Cannot go on with the session: the manager ended it");
}
