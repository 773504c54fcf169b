/**
 * The dispatcher (SwarmKit `manager/dispatcher`): sessions of agents, their heartbeats, the tasks they shall run and the
 * statuses they report. Runs on the leader; keeps nothing that the next leader could not rebuild from the store and from
 * the agents, which open new sessions.
 */
import type { CancelTimer, Clock } from "../../api/clock.ts";
import { timestamp } from "../../api/clock.ts";
import {
  type Ask,
  type AssignmentsMessage,
  DISPATCHER_METHODS,
  type HeartbeatResponse,
  type SessionMessage,
  type SessionRequest,
  type WeightedPeer,
} from "../../api/dispatcher.ts";
import { sealID } from "../../api/dependency.ts";
import { CoveyError } from "../../api/errors.ts";
import { checkProtocol, PROTOCOL } from "../../api/protocol.ts";
import { newID, type Random } from "../../api/random.ts";
import { notLeading } from "../consensus/mod.ts";
import { putSeal } from "../task/seals.ts";
import type { Commit, Store } from "../store/store.ts";
import type { LogPushAnswer } from "../../api/logs.ts";
import type { ShownMetrics } from "../../api/node_metrics.ts";
import { AskTable, type Reach } from "./asks.ts";
import { AssignmentHub } from "./assignment_hub.ts";
import type {
  CallContext,
  DuplexHandler,
  Method,
  ServerStreamHandler,
  UnaryHandler,
} from "../../transport/mod.ts";
import { callerHost, callerID } from "./call.ts";
import { Heard } from "./heard.ts";
import { heartbeatPeriod } from "./heartbeat_period.ts";
import { NodeKeeper } from "./node_keeper.ts";
import { type Limited, NodeLimits } from "./node_limits.ts";
import { Relay } from "./relay.ts";
import { Registration, SessionRate } from "./registration.ts";
import {
  checkAssignmentsRequest,
  checkDrained,
  checkHeartbeat,
  checkLoaded,
  checkLogPush,
  checkRelayCall,
  checkSeals,
  checkSessionRequest,
  checkStatusUpdate,
  checkStreamCall,
} from "./requests.ts";
import { type ReportedStatus, StatusWriter } from "./status_writer.ts";
import { Twins } from "./twins.ts";
import { Wakeup } from "./wakeup.ts";

/** Periods without a heartbeat after which a node is down. */
const GRACE_PERIODS = 3;
/** The same for nodes a new leader has not heard from yet: their agents have to find it first. */
const NEW_LEADER_GRACE_PERIODS = 6;

/** What a dispatcher works with. */
export interface DispatcherOptions {
  store: Store;
  clock: Clock;
  random: Random;
  /** The managers that agents may connect to; call {@linkcode Dispatcher.refresh} when they change. */
  managers: () => WeightedPeer[];
  /** What this manager speaks; default {@linkcode PROTOCOL}. */
  protocol?: number;
  /** PEM of the trust root; call {@linkcode Dispatcher.refresh} when it changes. */
  rootCA: () => string;
}

/** The agents' side of the leader: sessions, heartbeats, sets of assignments, and what nodes report. */
export class Dispatcher {
  readonly name = "dispatcher";
  readonly #options: DispatcherOptions;
  readonly #hub: AssignmentHub;
  readonly #nodes: NodeKeeper;
  readonly #statuses: StatusWriter;
  readonly #rate: SessionRate;
  readonly #limits: NodeLimits;
  readonly #twins = new Twins();
  readonly #asks = new AskTable({
    reach: (nodeID, kind) => this.#reach(nodeID, kind),
    touch: (nodeID) => this.#registrations.get(nodeID)?.touch(),
    checkLeading: () => this.#checkLeading(),
  });
  readonly #relay: Relay;
  readonly #registrations = new Map<string, Registration>();
  readonly #heard: Heard;
  readonly #graceTimers = new Map<string, CancelTimer>();
  #unsubscribe: (() => void) | undefined;

  constructor(options: DispatcherOptions) {
    const { store, clock } = options;
    this.#options = options;
    this.#heard = new Heard(clock);
    this.#hub = new AssignmentHub(store, clock);
    this.#nodes = new NodeKeeper(options);
    this.#statuses = new StatusWriter(store, clock);
    this.#rate = new SessionRate(clock);
    this.#limits = new NodeLimits(clock);
    const backend = this.#hub.backend.bind(this.#hub);
    this.#relay = new Relay({ ...options, asks: this.#asks, backend });
  }

  /**
   * This manager leads now: every node that is not down is unknown until it is heard from, for which it gets 6 heartbeat
   * periods. Calls are served at once.
   */
  start(): void {
    if (this.#unsubscribe) return;
    const { store } = this.#options;
    this.#unsubscribe = store.subscribe((commit) => this.#apply(commit), this.name);
    this.#hub.start();
    this.#nodes.start();
    const alive = store.all("nodes").filter((node) => node.Status.State !== "down").map((node) => node.ID);
    for (const id of alive) {
      this.#await(id, NEW_LEADER_GRACE_PERIODS, 'heartbeat failure for node in "unknown" state');
    }
    this.#nodes.unknown(alive);
  }

  /** A node without a session is down unless it opens one in so many heartbeat periods. */
  #await(nodeID: string, periods: number, otherwise: string): void {
    this.#graceTimers.get(nodeID)?.();
    const expire = () => {
      this.#graceTimers.delete(nodeID);
      this.#nodes.down(nodeID, otherwise);
    };
    this.#graceTimers.set(nodeID, this.#options.clock.setTimer(periods * this.#period(nodeID), expire));
  }

  /** This manager leads no longer: all streams end with `unavailable`, and node states stay as they are. */
  async stop(): Promise<void> {
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
    const reason = notLeading("serve agents", "this manager is not the leader");
    for (const cancel of this.#graceTimers.values()) cancel();
    this.#graceTimers.clear();
    for (const registration of this.#registrations.values()) registration.end(reason);
    this.#registrations.clear();
    this.#heard.clear();
    this.#statuses.stop(reason);
    this.#asks.stop(reason);
    this.#hub.stop(reason);
    await this.#nodes.stop();
  }

  /** Sends every session the managers and the root, if they changed. */
  refresh(): void {
    for (const registration of this.#registrations.values()) registration.touch();
  }

  /** The dispatcher's calls by name, for the transport's router. All need a node's certificate. */
  methods(): Record<string, Method> {
    const unary = (handler: UnaryHandler): Method => ({ kind: "unary", access: "node", handler });
    const stream = (handler: ServerStreamHandler): Method => ({
      kind: "server_stream",
      access: "node",
      handler,
    });
    const duplex = (handler: DuplexHandler): Method => ({ kind: "duplex", access: "node", handler });
    return {
      [DISPATCHER_METHODS.session]: stream((...call) => this.#session(...call)),
      [DISPATCHER_METHODS.assignments]: stream((...call) => this.#assignments(...call)),
      // deno-lint-ignore require-await
      [DISPATCHER_METHODS.heartbeat]: unary(async (...call) => this.#heartbeat(...call)),
      [DISPATCHER_METHODS.updateTaskStatus]: unary((...call) => this.#updateTaskStatus(...call)),
      [DISPATCHER_METHODS.publishLogs]: unary((...call) => this.#publishLogs(...call)),
      [DISPATCHER_METHODS.renewSeals]: unary((...call) => this.#renewSeals(...call)),
      // deno-lint-ignore require-await
      [DISPATCHER_METHODS.loaded]: unary(async (...call) => this.#loaded(...call)),
      [DISPATCHER_METHODS.drained]: unary((...call) => this.#drained(...call)),
      [DISPATCHER_METHODS.stream]: duplex((...call) => this.#stream(...call)),
      [DISPATCHER_METHODS.relay]: duplex((...call) => this.#relayed(...call)),
    };
  }

  /** When a node was last heard of in this term: milliseconds of the clock's monotonic time; undefined if it was not. */
  heard(nodeID: string): number | undefined {
    return this.#heard.at(nodeID);
  }

  /** How a node said that it is. */
  metrics(nodeID: string): ShownMetrics | undefined {
    const Relay = this.#relay.usage(nodeID), told = this.#heard.metrics(nodeID);
    return Relay === undefined ? told : { MeasuredAt: timestamp(this.#options.clock), ...told, Relay };
  }

  /** What is asked of nodes; see {@linkcode AskTable}. */
  get asks(): AskTable {
    return this.#asks;
  }

  #reach(nodeID: string, kind: Ask["Kind"]): Reach {
    const registration = this.#registrations.get(nodeID);
    if (registration === undefined || registration.ended) return "away";
    return registration.answers.has(kind) ? "connected" : "unable";
  }

  async *#session(request: unknown, caller: CallContext): AsyncGenerator<SessionMessage, void> {
    this.#count(caller, "openings");
    const registration = await this.#register(checkSessionRequest(request), caller);
    const wakeup = new Wakeup();
    const wake = () => wakeup.wake();
    const stopListening = registration.listen(wake);
    caller.signal.addEventListener("abort", wake);
    let sent: SessionMessage | undefined;
    try {
      while (!caller.signal.aborted) {
        if (registration.ended) throw registration.ended;
        const message = this.#message(registration);
        if (message && (!sent || isNews(sent, message))) {
          sent = message;
          yield message;
        } else {
          await wakeup.wait();
        }
      }
    } finally {
      stopListening();
      caller.signal.removeEventListener("abort", wake);
    }
  }

  async *#assignments(request: unknown, caller: CallContext): AsyncGenerator<AssignmentsMessage, void> {
    this.#count(caller, "openings");
    const { SessionID, Kinds } = checkAssignmentsRequest(request);
    const registration = this.#registered(SessionID, caller);
    const stream = this.#hub.open(registration.nodeID, Kinds);
    const onAbort = () => stream.end();
    const stopListening = registration.listen(() => {
      if (registration.ended) stream.end(registration.ended);
    });
    caller.signal.addEventListener("abort", onAbort);
    try {
      if (!caller.signal.aborted) yield* stream.messages();
    } finally {
      stopListening();
      caller.signal.removeEventListener("abort", onAbort);
      this.#hub.close(registration.nodeID, stream);
    }
  }

  #heartbeat(request: unknown, caller: CallContext): HeartbeatResponse {
    this.#count(caller, "heartbeats");
    const { SessionID, Metrics } = checkHeartbeat(request);
    const registration = this.#registered(SessionID, caller);
    if (Metrics) this.#heard.take(registration.nodeID, Metrics);
    return { PeriodMs: this.#expectHeartbeat(registration), Time: timestamp(this.#options.clock) };
  }

  async #updateTaskStatus(value: unknown, caller: CallContext): Promise<Record<string, never>> {
    this.#count(caller, "reports");
    const request = checkStatusUpdate(value);
    const { nodeID } = this.#registered(request.SessionID, caller);
    this.#limits.countStatuses(nodeID, request.Updates);
    const updates: ReportedStatus[] = [];
    for (const { TaskID, Status } of request.Updates) {
      const task = this.#options.store.get("tasks", TaskID);
      if (!task) continue;
      if (task.NodeID !== nodeID) {
        throw new CoveyError(
          "permission_denied",
          `Cannot update task status: task ${TaskID} is not assigned to node ${nodeID}`,
        );
      }
      updates.push({ TaskID, NodeID: nodeID, Status });
    }
    await this.#statuses.write(updates);
    return {};
  }

  async #publishLogs(value: unknown, caller: CallContext): Promise<LogPushAnswer> {
    this.#count(caller, "pushes");
    const push = checkLogPush(value);
    const { nodeID } = this.#registered(push.SessionID, caller);
    return await this.#asks.take(nodeID, push, caller.signal);
  }

  #loaded(value: unknown, caller: CallContext): Record<string, never> {
    this.#count(caller, "loads");
    const { SessionID, Index } = checkLoaded(value);
    this.#hub.loaded(this.#registered(SessionID, caller).nodeID, Index);
    return {};
  }

  async #drained(value: unknown, caller: CallContext): Promise<Record<string, never>> {
    this.#count(caller, "drains");
    const { SessionID, TaskID } = checkDrained(value), { nodeID } = this.#registered(SessionID, caller);
    const task = this.#options.store.get("tasks", TaskID);
    if (task?.NodeID === nodeID) await this.#hub.drained(task);
    return {};
  }

  async *#stream(
    value: unknown,
    fromNode: AsyncIterableIterator<unknown>,
    caller: CallContext,
  ): AsyncGenerator<unknown, void> {
    this.#count(caller, "streams");
    const { SessionID, StreamID } = checkStreamCall(value);
    const { nodeID } = this.#registered(SessionID, caller);
    yield* this.#asks.join(nodeID, StreamID, fromNode, caller.signal);
  }

  async *#relayed(
    value: unknown,
    fromNode: AsyncIterableIterator<unknown>,
    caller: CallContext,
  ): AsyncGenerator<unknown, void> {
    this.#count(caller, "relays");
    const call = checkRelayCall(value), { nodeID } = this.#registered(call.SessionID, caller);
    yield* this.#relay.open(nodeID, call, fromNode, caller.signal);
  }

  /** A node whose key was renewed wraps the keys of its secrets for the new one: nobody else has them, or could be believed. */
  async #renewSeals(request: unknown, caller: CallContext): Promise<Record<string, never>> {
    this.#count(caller, "statuses");
    const { SessionID, Seals } = checkSeals(request);
    const { nodeID } = this.#registered(SessionID, caller);
    await this.#options.store.update((tx) => {
      const present = tx.get("nodes", nodeID)?.Certificate?.PublicKeyDigest;
      for (const { SecretID, SealID, ...seal } of Seals) {
        const before = tx.get("seals", sealID(SecretID, nodeID));
        if (before?.SealID !== SealID || seal.PublicKeyDigest !== present) continue;
        if (before.PublicKeyDigest !== present) putSeal(tx, SecretID, SealID, { NodeID: nodeID, ...seal });
      }
    });
    return {};
  }

  /** Before a call is looked at: what is wrong with it costs time too. Throws as {@linkcode NodeLimits.count} does. */
  #count(caller: CallContext, limited: Limited): void {
    const nodeID = callerID(caller);
    // Of nobody else is anything remembered.
    if (this.#options.store.get("nodes", nodeID)) this.#limits.count(nodeID, limited);
  }

  /** Keeps the session that the request names, if it is the node's present one, else opens a new one. */
  async #register(request: SessionRequest, caller: CallContext): Promise<Registration> {
    const nodeID = callerID(caller);
    this.#checkLeading();
    checkProtocol(request.Protocol ?? 1, this.#options.protocol ?? PROTOCOL);
    if (!this.#options.store.get("nodes", nodeID)) {
      throw new CoveyError("not_found", `Cannot open a session: node ${nodeID} is not in the cluster`);
    }
    let registration = this.#registrations.get(nodeID);
    if (!registration || registration.sessionID !== request.SessionID) {
      this.#rate.count(nodeID);
      this.#refuseTwin(nodeID, request.Agent, registration !== undefined, callerHost(caller));
      registration?.end(
        new CoveyError("aborted", "Cannot go on with the session: the node opened another one"),
      );
      registration = new Registration(nodeID, newID(this.#options.random), this.#options.clock);
      this.#registrations.set(nodeID, registration);
    }
    registration.answers = new Set(request.Answers);
    this.#asks.sessionChanged(nodeID);
    this.#graceTimers.get(nodeID)?.();
    this.#graceTimers.delete(nodeID);
    // It sends none before it knows its session, which may take long while there is no majority to write it down.
    registration.expectNothing();
    try {
      await this.#nodes.ready(nodeID, request.Description, callerHost(caller));
    } catch (thrown) {
      this.#end(registration, CoveyError.from(thrown));
      // Its agent may never come again, and somebody has to see that.
      if (this.#unsubscribe && !this.#registrations.has(nodeID) && this.#options.store.get("nodes", nodeID)) {
        this.#await(nodeID, GRACE_PERIODS, "heartbeat failure");
      }
      throw thrown;
    }
    this.#expectHeartbeat(registration);
    return registration;
  }

  /** Keeps out one of two devices with the node's key, and shows that on the node. */
  #refuseTwin(nodeID: string, agent: string | undefined, live: boolean, host: string): void {
    const verdict = agent === undefined ? "fine" : this.#twins.open(nodeID, agent, live);
    if (verdict === "fine") return;
    const other = verdict === "twin" ? host : this.#options.store.get("nodes", nodeID)?.Status.Addr;
    this.#nodes.twin(nodeID, `another device, at ${other}, has a copy of this node's key and is kept out`);
    if (verdict === "back") return;
    throw new CoveyError(
      "failed_precondition",
      `Cannot open a session: another device has the key of node ${nodeID} too, and its place; ` +
        "if this is the copy, end it with --leave and join it anew",
      { reason: "twin" },
    );
  }

  /** The caller's present session. Throws `not_found` or `invalid_argument` (SwarmKit's codes). */
  #registered(sessionID: string, caller: CallContext): Registration {
    const nodeID = callerID(caller);
    this.#checkLeading();
    const registration = this.#registrations.get(nodeID);
    if (!registration) {
      throw new CoveyError("not_found", `Cannot serve the call: node ${nodeID} has no session`);
    }
    if (registration.sessionID !== sessionID) {
      throw new CoveyError(
        "invalid_argument",
        "Cannot serve the call: the session is not the node's present one",
      );
    }
    return registration;
  }

  #checkLeading(): void {
    if (!this.#unsubscribe) throw notLeading("serve agents", "this manager is not the leader");
  }

  #expectHeartbeat(registration: Registration): number {
    const period = this.#period(registration.nodeID);
    this.#heard.note(registration.nodeID);
    registration.expect(GRACE_PERIODS * period, () => {
      const reason = `node ${registration.nodeID} sent no heartbeat in ${GRACE_PERIODS * period} ms`;
      this.#end(registration, new CoveyError("not_found", `Cannot go on with the session: ${reason}`));
      this.#nodes.down(registration.nodeID, "heartbeat failure");
    });
    return period;
  }

  #end(registration: Registration, reason: CoveyError): void {
    registration.end(reason);
    if (this.#registrations.get(registration.nodeID) === registration) {
      this.#registrations.delete(registration.nodeID);
      this.#asks.sessionChanged(registration.nodeID);
    }
  }

  #period(nodeID: string): number {
    return heartbeatPeriod(this.#options.store, nodeID, this.#options.random);
  }

  #message(registration: Registration): SessionMessage | undefined {
    const node = this.#options.store.get("nodes", registration.nodeID);
    if (!node) return undefined;
    return {
      SessionID: registration.sessionID,
      Node: node,
      Managers: this.#options.managers(),
      RootCA: this.#options.rootCA(),
      Time: timestamp(this.#options.clock),
      ...this.#asked(registration),
    };
  }

  #asked({ nodeID, answers }: Registration): Pick<SessionMessage, "Asks"> {
    const asks = this.#asks.of(nodeID, answers);
    return asks.length > 0 ? { Asks: asks } : {};
  }

  #apply(commit: Commit): void {
    this.#hub.apply(commit);
    for (const change of commit.changes) {
      if (change.table === "clusters") this.refresh();
      else if (change.table === "nodes" && change.action === "update") {
        this.#registrations.get(change.object.ID)?.touch();
      } else if (change.table === "nodes" && change.action === "remove") this.#forget(change.object.ID);
    }
  }

  #forget(nodeID: string): void {
    this.#rate.forget(nodeID);
    this.#limits.forget(nodeID);
    this.#twins.forget(nodeID);
    this.#heard.forget(nodeID);
    this.#relay.forget(nodeID);
    this.#graceTimers.get(nodeID)?.();
    this.#graceTimers.delete(nodeID);
    const registration = this.#registrations.get(nodeID);
    if (registration === undefined) return;
    const message = `Cannot go on with the session: node ${nodeID} was removed from the cluster`;
    this.#end(registration, new CoveyError("not_found", message));
  }
}

/** What an agent reported itself (status, description) is no news for it. */
function isNews(sent: SessionMessage, next: SessionMessage): boolean {
  const parts = (m: SessionMessage) => [
    m.RootCA,
    m.Managers,
    m.Node.Spec,
    m.Node.Role,
    m.Node.Certificate,
    m.Node.Renewal,
    // How far an answer has come is told with what else there is to tell.
    m.Asks?.map((ask) => ask.Kind === "logs" ? { ...ask, After: 0, Tail: 0 } : ask),
  ];
  return JSON.stringify(parts(sent)) !== JSON.stringify(parts(next));
}
