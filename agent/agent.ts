/**
 * The agent: keeps a session with one manager, runs the node's tasks, and goes on running them when no manager can be
 * reached (SwarmKit `agent`; how it differs is told in the README).
 */
import type { Backoff } from "../api/backoff.ts";
import { type CancelTimer, type Clock, sleep } from "../api/clock.ts";
import type { SessionMessage } from "../api/dispatcher.ts";
import { CoveyError, hasCode } from "../api/errors.ts";
import { getLogger } from "../api/log.ts";
import type { NodeDescription } from "../api/node.ts";
import type { Task } from "../api/task.ts";
import type { NodeMetrics } from "../api/node_metrics.ts";
import { orAbort } from "../api/or_abort.ts";
import { PROTOCOL } from "../api/protocol.ts";
import { newID, type Random } from "../api/random.ts";
import type { Executor } from "../executors/executor.ts";
import { Asks } from "./asks.ts";
import { sessionBackoff } from "./backoff.ts";
import type { ManagerConnection, ManagerDialer } from "./connection.ts";
import { DependencyKeeper } from "./dependencies.ts";
import type { DrainsAsked } from "./drains.ts";
import { DESCRIBE_TIMEOUT_MS, describeNode, type NodeFacts } from "./describe_node.ts";
import type { DeviceFacts } from "./gate.ts";
import type { LocalState } from "./local_state.ts";
import { Managers } from "./managers.ts";
import { type RenewSeals, runSession, type SessionEvents } from "./session.ts";
import type { RelayAsked } from "./relay.ts";
import { type SendStatuses, StatusReporter } from "./status_reporter.ts";
import { type NetworkAssignments, Worker } from "./worker.ts";

const logger = getLogger(["covey", "agent"]);

/**
 * Pause between attempts of a node that its cluster has removed: somebody has to join it again. Who hears it a second
 * time stops its tasks: the first time it may have been a manager that lags behind.
 */
const REMOVED_RETRY_MS = 60_000;
/** The same of a node that another device has the key and the place of; its tasks go on, for all it knows they are its own. */
const TWIN_RETRY_MS = 60_000;

/**
 * Where an agent stands; its tasks go on in all of these but the last.
 *
 *     stopped --- start ---> connecting --- session registered ---> connected
 *                             |     ^                                 |   ^
 *                             |     '------------ session lost -------'   |
 *                             v                                           |
 *                           removed: a manager says that there is no  ----'
 *                           such node; tried again at long intervals, and
 *                           the tasks are stopped if it is said again
 */
export type AgentState = "stopped" | "connecting" | "connected" | "removed";

/** What an agent works with. */
export interface AgentOptions {
  dialer: ManagerDialer;
  executors: readonly Executor[];
  state: LocalState;
  /** Secrets and configs, with what an earlier agent kept loaded; else they are in memory only. */
  dependencies?: DependencyKeeper;
  /** The cluster's networks on this node; else it has none. */
  networks?: NetworkAssignments;
  /** Connections to nodes that are not reached otherwise; else it asks for none, and gets none. */
  relay?: RelayAsked | undefined;
  /** Sees to it that tasks in networks are stopped once nobody sends them anything new; else they are not waited for. */
  drains?: DrainsAsked | undefined;
  clock: Clock;
  random: Random;
  /** HOST:PORT of the managers known so far. */
  managers: readonly string[];
  facts: NodeFacts;
  /** What this agent speaks; default {@linkcode PROTOCOL}. */
  protocol?: number;
  /** Identifies the machine's present boot, so that tasks ended by a reboot are told from tasks that ended. */
  bootID?: string;
  /** What the node adds to a task that is run; else nothing. */
  outfit?: (task: Task) => Promise<Task>;
  /** What a swap of tasks is judged by; without it, nothing on the device stands against one. */
  deviceFacts?: () => Promise<DeviceFacts>;
  /** See `WorkerOptions`. */
  knowsTime?: () => boolean;
  /** The managers that the cluster tells of, HOST:PORT each: at first, and whenever they change. */
  onManagers?: (addresses: string[]) => void;
  /** A manager's time, authenticated; RFC 3339. */
  onTime?: (time: string) => void;
  /** Every session message: the node object, the trust root. */
  onSession?: (message: SessionMessage) => void;
  /** How the device is, if anybody has measured. */
  metrics?: () => NodeMetrics | undefined;
  /** After each look at the executors: runtimes that do not work now, and why. */
  onMissingRuntimes?: (reasons: Record<string, string>) => void;
  /** The state changed; `error` is why there is no session. */
  onState?: (state: AgentState, error: CoveyError | undefined) => void;
}

/** A node's agent, from `start` to `stop`: one session at a time, its tasks all the while. */
export class Agent {
  readonly #options: AgentOptions;
  readonly #worker: Worker;
  readonly #dependencies: DependencyKeeper;
  readonly #reporter: StatusReporter;
  readonly #asks: Asks;
  readonly #managers: Managers;
  readonly #backoff: Backoff;
  readonly #abort = new AbortController();
  /** Tells this agent from every other with the node's key. */
  readonly #name: string;
  #sessionID: string | undefined;
  #renewSeals: RenewSeals | undefined;
  #managersTold = false;
  /** What the node last said of itself. */
  #description: NodeDescription | undefined;
  #running: Promise<void> | undefined;
  readonly #looks = new Set<() => void>();
  #state: AgentState = "stopped";

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#name = newID(options.random);
    this.#reporter = new StatusReporter(options.clock, (taskID) => this.#worker.statusesAccepted(taskID));
    this.#managers = new Managers(options.random, options.managers);
    this.#backoff = sessionBackoff(options.random);
    this.#dependencies = options.dependencies ?? new DependencyKeeper(options.state);
    this.#worker = new Worker({
      clock: options.clock,
      executors: options.executors,
      state: options.state,
      dependencies: this.#dependencies,
      networks: options.networks,
      bootID: options.bootID ?? "",
      outfit: options.outfit,
      ...(options.deviceFacts && { deviceFacts: options.deviceFacts }),
      ...(options.knowsTime && { knowsTime: options.knowsTime }),
      node: async () => this.#description ?? await this.#describe(this.#abort.signal),
      onStatus: (taskID, status) => this.#reporter.report(taskID, status),
    });
    this.#asks = new Asks({ clock: options.clock, random: options.random, tasks: this.#worker });
  }

  /** See {@linkcode AgentState}. */
  get state(): AgentState {
    return this.#state;
  }

  /** Its tasks. */
  get worker(): Worker {
    return this.#worker;
  }

  /** True while nothing is under way that the end of the agent would break off. */
  get isQuiet(): boolean {
    return this.#worker.isQuiet && this.#asks.isIdle && (this.#options.relay?.size ?? 0) === 0;
  }

  /** Takes up the tasks on record, then looks for a manager. */
  start(): void {
    if (this.#running) return;
    this.#worker.start();
    this.#running = this.#run();
  }

  /** What the node says of itself may have changed: it is looked at now. */
  restate(): void {
    for (const look of [...this.#looks]) look();
  }

  /** Ends the session and lets go of the tasks: their programs go on. The agent cannot be started again. */
  async stop(): Promise<void> {
    this.#abort.abort(new CoveyError("canceled", "Cannot go on: the agent stops"));
    await this.#running;
    await this.#asks.stop();
    await this.#worker.stop();
    this.#reporter.disconnect();
    await this.#dependencies.settled();
    await this.#options.state.flush();
    this.#setState("stopped", undefined);
  }

  /** Leaves the cluster: ends the session, then stops and removes every task. {@linkcode stop} follows. */
  async removeTasks(): Promise<void> {
    this.#abort.abort(new CoveyError("canceled", "Cannot go on: the node leaves its cluster"));
    await this.#running;
    await this.#worker.removeAll();
  }

  async #run(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#abort;
    while (!signal.aborted) {
      this.#setState(this.#state === "removed" ? "removed" : "connecting", undefined);
      const failure = await this.#connect(signal);
      if (signal.aborted) return;
      const again = this.#state === "removed";
      const removed = failure.error.reason === "not_in_cluster" ||
        (failure.opening && hasCode(failure.error, "not_found"));
      this.#setState(removed ? "removed" : "connecting", failure.error);
      if (removed) await this.#dependencies.wipe();
      if (removed && again) await this.#retire(signal);
      const next = failure.error.reason === "twin" ? TWIN_RETRY_MS : this.#backoff.next();
      const pause = removed ? REMOVED_RETRY_MS : next;
      await sleep(clock, pause, signal).catch(() => {});
    }
  }

  /** Stops and removes the tasks of a node that its cluster has removed: nobody else ever would. */
  async #retire(signal: AbortSignal): Promise<void> {
    if (this.#worker.size === 0) return;
    logger.warn("Stopping this node's tasks: its cluster has removed it");
    // An agent that is ended meanwhile goes on with it when it is started again.
    await orAbort(this.#worker.removeAll(), signal).catch(() => {});
  }

  /** Connects to one manager and stays with it; resolves with why that ended, and whether it was before a session. */
  async #connect(signal: AbortSignal): Promise<{ error: CoveyError; opening: boolean }> {
    const address = this.#managers.pick();
    if (address === undefined) {
      const error = new CoveyError("unavailable", "Cannot connect: no manager is known");
      return { error, opening: false };
    }
    let connection: ManagerConnection | undefined;
    let opening = false;
    const patience = this.#managers.patience(address);
    const events = this.#events(address, () => opening = false);
    try {
      const { clock, dialer } = this.#options;
      connection = await dialer.dial(address, { signal, timeoutMs: patience.ms });
      while (true) {
        opening = true;
        await runSession(clock, connection, patience, this.#known, events, signal);
        if (!dialer.isOutdated?.(connection)) continue;
        connection.close();
        connection = await dialer.dial(address, { signal, timeoutMs: patience.ms });
      }
    } catch (thrown) {
      const error = CoveyError.from(thrown);
      if (hasCode(error, "not_found", "invalid_argument", "aborted")) this.#sessionID = undefined;
      this.#managers.observe(address, false);
      if (hasCode(error, "deadline_exceeded")) patience.ranOut();
      return { error, opening };
    } finally {
      this.#worker.setConnected(false);
      this.#reporter.disconnect();
      this.#asks.disconnect();
      this.#options.relay?.disconnect();
      this.#options.drains?.disconnect();
      connection?.close();
    }
  }

  get #known() {
    const { protocol = PROTOCOL } = this.#options;
    return {
      Agent: this.#name,
      Protocol: protocol,
      ...(this.#sessionID !== undefined && { SessionID: this.#sessionID }),
    };
  }

  #events(address: string, onOpen: () => void): SessionEvents {
    return {
      onRegistered: (message, { send, renew, sendLogs, openStream, openRelay, drains }) => {
        onOpen();
        this.#renewSeals = renew;
        this.#registered(address, message, send);
        this.#asks.connect(sendLogs, openStream);
        this.#options.relay?.connect(openRelay, openStream);
        this.#options.drains?.connect(drains);
      },
      onMessage: (message) => this.#takeMessage(message),
      onTime: (time) => this.#options.onTime?.(time),
      onComplete: (changes, index) => {
        this.#worker.applyComplete(changes, index);
        this.#backoff.reset();
        this.#keepSealed();
      },
      onIncremental: (changes, index) => this.#worker.applyIncremental(changes, index),
      onLoadAsked: (index) => this.#options.drains?.acknowledge(index),
      metrics: () => this.#options.metrics?.(),
      describe: (signal) => this.#describe(signal),
      onRestated: (look) => {
        this.#looks.add(look);
        return () => void this.#looks.delete(look);
      },
    };
  }

  #registered(address: string, message: SessionMessage, send: SendStatuses): void {
    this.#sessionID = message.SessionID;
    this.#managers.observe(address, true);
    this.#worker.setConnected(true);
    this.#reporter.connect(send, this.#worker.statuses());
    this.#setState("connected", undefined);
  }

  #takeMessage(message: SessionMessage): void {
    this.#options.onTime?.(message.Time);
    const changed = this.#managers.replace(message.Managers);
    if (changed || !this.#managersTold) this.#options.onManagers?.(this.#managers.addresses);
    this.#managersTold = true;
    // The node's key may be a new one: a renewal is told of here.
    void this.#dependencies.rekey().then(() => this.#keepSealed());
    this.#asks.apply(message.Asks ?? []);
    this.#options.relay?.apply(message.Asks ?? []);
    this.#options.onSession?.(message);
  }

  /** Has managers keep what opens the node's sealed secrets for the key that it has now. */
  #keepSealed(): void {
    const renew = this.#renewSeals;
    void this.#dependencies.staleSeals().then(async (seals) => {
      if (seals.length === 0 || !renew) return;
      await renew(seals);
      this.#dependencies.sealsRenewed(seals);
    }).catch((thrown) => {
      // The next session tries again; until then the node has them from its disk.
      const { message } = CoveyError.from(thrown);
      logger.debug("Sealed secrets are not sealed for this node's new key yet: {message}", { message });
    });
  }

  async #describe(signal: AbortSignal): Promise<NodeDescription> {
    const { clock, facts, executors } = this.#options;
    const abort = new AbortController();
    const onAbort = () => abort.abort(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    const late = `no answer within ${DESCRIBE_TIMEOUT_MS} ms`;
    const cancel: CancelTimer = clock.setTimer(
      DESCRIBE_TIMEOUT_MS,
      () =>
        abort.abort(new CoveyError("deadline_exceeded", `Cannot ask the runtime what it offers: ${late}`)),
    );
    try {
      const description = await describeNode(facts, executors, abort.signal);
      this.#description = description;
      if (!signal.aborted) this.#options.onMissingRuntimes?.(description.MissingRuntimes ?? {});
      return description;
    } finally {
      cancel();
      signal.removeEventListener("abort", onAbort);
    }
  }

  #setState(state: AgentState, error: CoveyError | undefined): void {
    if (state === this.#state && error === undefined) return;
    this.#state = state;
    this.#options.onState?.(state, error);
  }
}
