/**
 * Keeps the node's part of the cluster's networks as the manager tells of it: what changed is asked of the helper, what failed
 * is tried again.
 *
 *     told ---> planned ---> asked of the helper ---> ready: containers can be attached
 *                  ^                 |
 *                  '---- pause <-----'--- failed: the tasks that wait for it hear why
 */
import { Backoff } from "../api/backoff.ts";
import { type CancelTimer, type Clock } from "../api/clock.ts";
import type { AssignmentChange } from "../api/dispatcher.ts";
import { CoveyError } from "../api/errors.ts";
import { parseIPv4 } from "../api/ipv4.ts";
import { getLogger } from "../api/log.ts";
import type { AssignedNetwork } from "../api/network_assignment.ts";
import { orAbort } from "../api/or_abort.ts";
import { SayOnce } from "../api/say_once.ts";
import type { OverlayNetworks, ReadyNetwork } from "../executors/overlay_networks.ts";
import { Askers, type TasksHere } from "./askers.ts";
import type { NetworkHelper } from "./helper_client.ts";
import { changeOf, type NearTask, planNear } from "./near.ts";
import { NodeNetworks } from "./node_networks.ts";
import {
  type HelperRequest,
  nameserverOf,
  networkDevice,
  planKept,
  planNetwork,
  planRules,
  wholeRules,
} from "./plan.ts";
import { planJoin, planTasks, programRules, programsIn, type TaskHere } from "./task_spaces.ts";

const log = getLogger(["covey", "network"]);

/** Pauses before the helper is asked again for what it could not do: a module that is installed is found within a minute. */
const RETRY_PAUSE = { minMs: 1000, maxMs: 60_000 };
/** How long what the host lacks is taken for so, before it is looked at again: a look loads modules and starts ten programs. */
const PROBE_AGAIN_MS = 5 * 60_000;
/** How long a task waits for its network before it says so and asks again. */
const READY_LIMIT_MS = 10_000;

/** What keeps the networks needs. */
export interface NetworkKeeperOptions {
  nodeID: string;
  helper: NetworkHelper;
  clock: Clock;
  /** The node's own address for the networks; empty: none was named. */
  dataPath: string;
  /** Tasks that this node has. */
  tasks: TasksHere;
  /** What was told last, for a device that starts without a manager. */
  storage: { load(): Promise<string | undefined>; save(text: string | undefined): Promise<void> };
  /** Called when the node has got its first network, and when it has none any more. */
  onUse?: (isUsed: boolean) => void;
  /** The same for nodes in them that no packet of this one gets to. */
  onRelay?: (isUsed: boolean) => void;
  /** Resolves when no other node sends anything new to a task of this one, as far as can be known. */
  drained?: (taskID: string, signal: AbortSignal) => Promise<void>;
}

/** The networks of one node. */
export class NetworkKeeper implements OverlayNetworks {
  readonly told: NodeNetworks = new NodeNetworks();
  readonly askers: Askers;
  readonly #options: NetworkKeeperOptions;
  readonly #done = new Map<string, string>();
  readonly #ready = new Map<string, number>();
  readonly #backoff = new Backoff(RETRY_PAUSE);
  readonly #said = new SayOnce();
  readonly #failures = new Map<string, CoveyError>();
  /** Programs in networks, by their tasks, and why one of them is not in there yet. */
  readonly #programs = new Map<string, TaskHere>();
  readonly #notJoined = new Map<string, CoveyError>();
  /** Containers in networks that run, by their tasks. */
  readonly #containers = new Map<string, NearTask>();
  #news = Promise.withResolvers<void>();
  #running: Promise<void> | undefined;
  #saving: Promise<void> = Promise.resolve();
  #isUnsaved = false;
  #isDirty = false;
  /** Counts what was told, and up to where the rules are so. */
  #toldCount = 0;
  #loadedCount = 0;
  #isUsed = false;
  #isRelayed = false;
  #isClosed = false;
  #isAble = false;
  #isSwept = true;
  /** What the host was found to lack, and when. */
  #lacks: { error: CoveyError; at: number } | undefined;
  #cancelRetry: CancelTimer | undefined;

  constructor(options: NetworkKeeperOptions) {
    this.#options = options;
    this.askers = new Askers(options.tasks);
  }

  /** Takes up what an earlier agent was told. */
  async load(): Promise<void> {
    this.#isSwept = false;
    const text = await this.#options.storage.load();
    if (text === undefined) return;
    try {
      this.told.take(JSON.parse(text));
    } catch {
      return log.warn("What this node knew of its networks cannot be read; a manager tells it again");
    }
    this.#changed(false);
  }

  /** See {@linkcode OverlayNetworks}. What was possible once is not asked again. */
  async check(signal: AbortSignal): Promise<void> {
    if (this.#isAble) return;
    const { dataPath } = this.#options;
    if (dataPath !== "" && parseIPv4(dataPath) === undefined) {
      const why = `networks are carried over IPv4, and this node's address for them is ${dataPath}`;
      throw new CoveyError("failed_precondition", why);
    }
    const { helper, clock } = this.#options, lacks = this.#lacks;
    if (lacks !== undefined && clock.monotonic() - lacks.at < PROBE_AGAIN_MS) throw lacks.error;
    try {
      await orAbort(helper.ask("probe", []), signal);
    } catch (thrown) {
      if (!signal.aborted) this.#lacks = { error: CoveyError.from(thrown), at: clock.monotonic() };
      throw thrown;
    }
    this.#isAble = true;
  }

  /** Takes over the complete set. */
  applyComplete(changes: readonly AssignmentChange[]): void {
    const before = JSON.stringify(this.told);
    this.told.clear();
    for (const change of changes) this.told.apply(change);
    if (JSON.stringify(this.told) !== before) this.#changed();
  }

  /** Takes over changes. */
  apply(changes: readonly AssignmentChange[]): void {
    let isChanged = false;
    for (const change of changes) isChanged = this.told.apply(change) || isChanged;
    if (isChanged) this.#changed();
  }

  /** See {@linkcode OverlayNetworks}. */
  async ready(id: string, signal: AbortSignal): Promise<ReadyNetwork> {
    const { clock } = this.#options, end = clock.monotonic() + READY_LIMIT_MS;
    // Who is attached has to be known by the rules.
    this.#program();
    await orAbort(this.settled(), signal);
    while (true) {
      signal.throwIfAborted();
      const network = this.told.networks.get(id), MTU = this.#ready.get(id);
      if (network !== undefined && MTU !== undefined) {
        return { Network: network, Device: networkDevice(network), MTU, Nameserver: nameserverOf(network) };
      }
      const failure = this.#failures.get(id), left = end - clock.monotonic();
      if (failure !== undefined || left <= 0) throw notReady(network, id, failure);
      const { promise, resolve } = Promise.withResolvers<void>();
      const cancel = clock.setTimer(left, resolve);
      await orAbort(Promise.race([promise, this.#news.promise]), signal).finally(cancel);
    }
  }

  /** See {@linkcode OverlayNetworks}. */
  async join(task: TaskHere, signal: AbortSignal): Promise<string> {
    this.#programs.set(task.ID, task);
    for (const { NetworkID } of task.NetworkAttachments ?? []) await this.ready(NetworkID, signal);
    const failure = this.#notJoined.get(task.ID);
    if (failure !== undefined) throw failure;
    return this.#options.nodeID;
  }

  /** See {@linkcode OverlayNetworks}. */
  resume(task: TaskHere): void {
    this.#programs.set(task.ID, task);
    this.#program();
  }

  /** See {@linkcode OverlayNetworks}. */
  async part(taskID: string): Promise<void> {
    if (!this.#programs.delete(taskID)) return;
    await this.settled();
    this.#done.delete(joinKey(taskID));
    this.#done.delete(nearKey(taskID));
    await this.#options.helper.ask("part", [taskID]);
  }

  /** See {@linkcode OverlayNetworks}. */
  entered(task: TaskHere, pid: number): void {
    if ((this.#containers.get(task.ID)?.pid ?? 0) === pid) return;
    this.#done.delete(nearKey(task.ID));
    if (pid === 0) return void this.#containers.delete(task.ID);
    this.#containers.set(task.ID, { task, pid });
    this.#program();
  }

  /** See {@linkcode OverlayNetworks}. */
  async drained(taskID: string, signal: AbortSignal): Promise<void> {
    await this.#options.drained?.(taskID, signal);
  }

  /** Resolves when nothing is sent any more to who was told by now to serve no more. */
  async loaded(signal: AbortSignal): Promise<void> {
    const count = this.#toldCount;
    while (this.#loadedCount < count) await orAbort(this.#news.promise, signal);
  }

  /** Removes everything that the node has of networks, as it leaves its cluster. */
  async leave(): Promise<void> {
    this.told.clear();
    this.#save();
    await this.settled();
    await this.#options.helper.ask("leave", []).catch((thrown) => {
      log.warn("Cannot remove all of this node's networks: {message}", {
        message: CoveyError.from(thrown).message,
      });
    });
    this.#done.clear();
    this.#ready.clear();
    this.#use(false);
  }

  /** Resolves when nothing is being asked of the helper, and all is kept. */
  async settled(): Promise<void> {
    while (this.#running) await this.#running;
    await this.#saving;
  }

  /** Lets go of the helper; what it made stays. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelRetry?.();
    await this.settled();
    await this.#options.helper.close();
  }

  #changed(save = true): void {
    this.#toldCount++;
    if (save) this.#save();
    this.#backoff.reset();
    this.#failures.clear();
    this.#program();
  }

  /** One write at a time, of what is so by then. */
  #save(): void {
    const isWaiting = this.#isUnsaved;
    this.#isUnsaved = true;
    if (isWaiting) return;
    this.#saving = this.#saving.then(() => {
      this.#isUnsaved = false;
      return this.#options.storage.save(this.told.isEmpty ? undefined : JSON.stringify(this.told));
    }).catch((error) => {
      log.warn("Cannot keep what this node was told of its networks: {message}", { message: error.message });
    });
  }

  #program(): void {
    if (this.told.isEmpty && this.#done.size === 0) this.#loadedCount = this.#toldCount;
    this.#isDirty = true;
    if (this.#isClosed || this.#running) return;
    this.#cancelRetry?.();
    this.#running = this.#run().finally(() => this.#running = undefined);
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    while (this.#isDirty && !this.#isClosed) {
      this.#isDirty = false;
      if (this.told.isEmpty && this.#done.size === 0) return;
      const isDone = await this.#round();
      this.#tell();
      if (isDone || this.#isDirty) continue;
      this.#cancelRetry = this.#options.clock.setTimer(this.#backoff.next(), () => this.#program());
    }
  }

  #hasLoaded(count: number): void {
    if (count === this.#loadedCount) return;
    this.#loadedCount = count;
    this.#tell();
  }

  #tell(): void {
    this.#news.resolve();
    this.#news = Promise.withResolvers();
  }

  /** Asks for all that is not so yet; false if something could not be done. One network holds up no other. */
  async #round(): Promise<boolean> {
    const failed: CoveyError[] = [];
    // Who is about to be stopped shall be sent nothing more, whatever else there is to do; but nobody is sent anything before it is
    // known where that is. What fails is done below.
    if (this.#areTablesLoaded()) await this.#askRules(true).catch(() => {});
    // What is gone first: it may stand in the way of what comes. It is forgotten before, as it may be back when it has been removed.
    this.#forgetWhatIsGone();
    await this.#ask("keep", planKept(this.told)).catch((error) => failed.push(error));
    for (const network of [...this.told.networks.values()]) {
      try {
        for (const request of planNetwork(this.told, network, this.#options.dataPath)) {
          const answer = await this.#ask(`${network.ID}/${request.verb}`, request);
          if (request.verb === "network" && answer !== undefined) this.#ready.set(network.ID, Number(answer));
          if (request.verb === "network") this.#use(true);
        }
        this.#failures.delete(network.ID);
      } catch (thrown) {
        const error = CoveyError.from(thrown);
        this.#failures.set(network.ID, error);
        // Somebody may have removed what was there: it is made as if it were new.
        this.#forget(network.ID);
        this.#say(`network ${network.Name}`, error);
        failed.push(error);
      }
    }
    this.#useRelay();
    const programs = programsIn(this.#options.tasks());
    await this.#sweep(programs).catch((error) => failed.push(error));
    for (const task of this.#programs.values()) await this.#joinOnce(task, failed);
    await this.#askRules().catch((error) => {
      failed.push(error);
      this.#say("the rules", error);
    });
    if (this.told.isEmpty && failed.length === 0) {
      await this.#removeAll().catch((error) => {
        failed.push(error);
        this.#say("which are none", error);
      });
    }
    return failed.length === 0;
  }

  /** Of a change only what it changes is loaded: one service's rules. `inPart`: nothing where that is not enough. */
  async #askRules(inPart = false): Promise<void> {
    const more = programRules(this.told, programsIn(this.#options.tasks()));
    const planned = planRules(this.told, this.askers.refresh(), more);
    const frame = [...planned.fixed, ...planned.heads].join(" ");
    const { helper } = this.#options, done = this.#done, isFramed = done.get("rules") === frame;
    const parts = [...planned.serving].map(([key, words]) => ({ key, words, text: words.join(" ") }));
    const asked = { key: "askers", words: planned.askers, text: planned.askers.join(" ") };
    const changed = parts.filter(({ key, text }) => done.get(key) !== text);
    const near = this.#nearToAsk();
    const isSo = isFramed && changed.length === 0 && done.get("askers") === asked.text && near.length === 0;
    if (isSo) this.#hasLoaded(this.#toldCount);
    if (isSo || (inPart && !isFramed)) return;
    const count = this.#toldCount;
    // What was left half done is not what it was before.
    done.delete("rules");
    if (!isFramed) {
      const { verb, words } = wholeRules(planned);
      await helper.ask(verb, words);
    } else {
      if (changed.length > 0) await helper.ask("serve", changed.flatMap(({ words }) => words));
      if (done.get("askers") !== asked.text) await helper.ask("askers", asked.words);
    }
    for (const { key, text } of [...parts, asked]) done.set(key, text);
    done.set("rules", frame);
    // A task that keeps its own from being loaded holds up nobody else.
    await this.#askNear(near).finally(() => this.#hasLoaded(count));
  }

  /** What tasks' own namespaces do not translate yet as they should. */
  #nearToAsk(): { key: string; words: string[] }[] {
    const joined = [...this.#programs.values()].filter(({ ID }) => this.#done.has(joinKey(ID)));
    const planned = planNear(this.told, [...this.#containers.values(), ...joined.map((task) => ({ task }))]);
    for (const key of this.#done.keys()) {
      if (key.startsWith(nearKey("")) && !planned.has(key.slice(nearKey("").length))) this.#done.delete(key);
    }
    return [...planned].map(([id, words]) => ({ key: nearKey(id), words })).filter(({ key, words }) =>
      !this.#isSo(key, { words })
    );
  }

  async #askNear(near: readonly { key: string; words: string[] }[]): Promise<void> {
    if (near.length === 0) return;
    const asked = near.flatMap(({ key, words }) => changeOf(this.#done.get(key), words));
    for (const { key } of near) this.#done.delete(key);
    await this.#options.helper.ask("near", asked);
    for (const { key, words } of near) this.#done.set(key, words.join(" "));
  }

  /** Removes, once, the namespaces of tasks that an earlier agent did not live to remove. */
  async #sweep(programs: readonly TaskHere[]): Promise<void> {
    if (this.#isSwept) return;
    const { verb, words } = planTasks(programs);
    await this.#options.helper.ask(verb, words);
    this.#isSwept = true;
  }

  /** A task waits whose networks are not there yet. */
  async #joinOnce(task: TaskHere, failed: CoveyError[]): Promise<void> {
    if (!task.NetworkAttachments?.every(({ NetworkID }) => this.#ready.has(NetworkID))) return;
    try {
      await this.#ask(joinKey(task.ID), planJoin(this.told, task));
      this.#notJoined.delete(task.ID);
    } catch (thrown) {
      const error = CoveyError.from(thrown);
      const text = `Cannot attach task ${task.ID} to its networks: ${error.message}`;
      this.#notJoined.set(task.ID, new CoveyError("unavailable", text, { retryable: true }));
      failed.push(error);
    }
  }

  /** Without a network the node needs nothing at all. */
  async #removeAll(): Promise<void> {
    this.#use(false);
    await this.#options.helper.ask("leave", []);
    this.#done.clear();
  }

  /** The answer; undefined for what is so already. */
  async #ask(key: string, { verb, words }: HelperRequest): Promise<string | undefined> {
    if (this.#isSo(key, { words })) return undefined;
    const text = words.join(" ");
    // What was left half done is not what it was before.
    this.#done.delete(key);
    const answer = await this.#options.helper.ask(verb, words);
    this.#done.set(key, text);
    return answer;
  }

  #areTablesLoaded(): boolean {
    return [...this.told.networks.values()].every((network) =>
      planNetwork(this.told, network, this.#options.dataPath).every((each) =>
        each.verb !== "table" || this.#isSo(`${network.ID}/table`, each)
      )
    );
  }

  #isSo(key: string, { words }: Pick<HelperRequest, "words">): boolean {
    return this.#done.get(key) === words.join(" ");
  }

  #forget(networkID: string): void {
    for (const key of this.#done.keys()) if (key.startsWith(`${networkID}/`)) this.#done.delete(key);
    this.#ready.delete(networkID);
  }

  #forgetWhatIsGone(): void {
    for (const key of this.#done.keys()) {
      const slash = key.indexOf("/"), id = key.slice(0, slash);
      if (slash >= 0 && !this.told.networks.has(id)) this.#forget(id);
    }
    // The devices of programs go with those of their networks.
    for (const { ID, NetworkAttachments = [] } of this.#programs.values()) {
      if (!NetworkAttachments.every(({ NetworkID }) => this.told.networks.has(NetworkID))) {
        this.#done.delete(joinKey(ID));
      }
    }
  }

  #use(isUsed: boolean): void {
    if (isUsed === this.#isUsed) return;
    this.#isUsed = isUsed;
    this.#options.onUse?.(isUsed);
  }

  #useRelay(): void {
    const isRelayed = [...this.told.networks.values()].some(({ ID, Ingress }) =>
      !Ingress && this.told.relayed(ID).length > 0
    );
    if (isRelayed === this.#isRelayed) return;
    this.#isRelayed = isRelayed;
    this.#options.onRelay?.(isRelayed);
  }

  #say(what: string, { message }: CoveyError): void {
    if (this.#said.isNew(`${what} ${message}`)) {
      log.warn("Cannot make this node's networks as they should be, {what}: {message}", { what, message });
    }
  }
}

/** No network's ID has a blank. */
const joinKey = (taskID: string) => `join ${taskID}`, nearKey = (taskID: string) => `near ${taskID}`;

function notReady(
  network: AssignedNetwork | undefined,
  id: string,
  failure: CoveyError | undefined,
): CoveyError {
  const why = failure?.message ??
    (network === undefined ? "no manager has told of it yet" : "it is being made");
  const text = `Cannot attach to network ${network?.Name ?? id}: ${why}`;
  return new CoveyError("unavailable", text, { retryable: true });
}
