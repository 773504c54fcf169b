/** A manager at work: consensus, store, CA and dispatcher behind one port, and the leader's components. */
import type { Clock } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import type { Cluster } from "../../api/cluster.ts";
import type { WeightedPeer } from "../../api/dispatcher.ts";
import type { Random } from "../../api/random.ts";
import { createJoinToken, type NodeIdentity, verifyPeerChain } from "../../security/mod.ts";
import {
  createRouter,
  type Listener,
  listenTLS,
  type Method,
  type PeerIdentity,
  tlsDialer,
} from "../../transport/mod.ts";
import { CAServer } from "../ca/mod.ts";
import { StoreCABackend } from "../ca/store_backend.ts";
import { type Consensus, openSingleMember } from "../consensus/mod.ts";
import { Dispatcher } from "../dispatcher/mod.ts";
import type { ManagerHandle } from "../lifecycle.ts";
import { type Answer, type ControlRequest, Routing } from "../routing/mod.ts";
import { createStore, type Store } from "../store/mod.ts";
import { leaderComponents, Leadership } from "./leader_components.ts";

/** What agents weigh managers by (SwarmKit `DefaultObservationWeight`). */
const MANAGER_WEIGHT = 10;

/** What a manager works with. */
export interface RunningManagerOptions {
  /** Folder of the log and checkpoint. */
  raftDir: string;
  nodeID: string;
  /** HOST:PORT */
  listen: string;
  /** HOST:PORT */
  advertise: string;
  clock: Clock;
  random: Random;
  /** Answers requests of the control API that other managers hand to this one. */
  answer: Answer;
}

/** Opens the state first, so that the caller can put the first objects there, then serves. */
export class RunningManager implements ManagerHandle {
  readonly store: Store;
  readonly consensus: Consensus;
  readonly nodeID: string;
  readonly advertiseAddr: string;
  readonly #options: RunningManagerOptions;
  readonly #dispatcher: Dispatcher;
  readonly #leadership: Leadership;
  readonly #routing: Routing;
  #identity: NodeIdentity | undefined;
  #listener: Listener | undefined;
  #unsubscribe = () => {};

  private constructor(options: RunningManagerOptions, consensus: Consensus, store: Store) {
    this.#options = options;
    this.consensus = consensus;
    this.store = store;
    this.nodeID = options.nodeID;
    this.advertiseAddr = options.advertise;
    const { clock, random, nodeID, answer } = options;
    const dialer = tlsDialer({
      identity: () => this.#material(),
      verifyPeer: (chain) => this.#verifyPeer(chain),
      clock,
    });
    this.#routing = new Routing({ consensus, nodeID, dialer, clock, answer });
    this.#dispatcher = new Dispatcher({
      store,
      clock,
      random,
      managers: () => this.#managers(),
      rootCA: () => this.cluster.RootCA.CACert,
    });
    this.#leadership = new Leadership(() =>
      leaderComponents({ store, clock, random, dispatcher: this.#dispatcher })
    );
  }

  /** Loads the state; nothing is served yet. Errors are those of `Consensus.start`. */
  static async open(options: RunningManagerOptions): Promise<RunningManager> {
    const { raftDir, nodeID, advertise, clock, random } = options;
    await Deno.mkdir(raftDir, { recursive: true, mode: 0o700 });
    const consensus = await openSingleMember({
      kvPath: `${raftDir}/state.kv`,
      nodeID,
      address: advertise,
      random,
    });
    const store = createStore(consensus, clock);
    try {
      await consensus.start(store);
    } catch (thrown) {
      await consensus.stop();
      throw thrown;
    }
    return new RunningManager(options, consensus, store);
  }

  /** The cluster object; throws `failed_precondition` before it was created. */
  get cluster(): Cluster {
    const cluster = this.store.all("clusters")[0];
    if (!cluster) {
      throw new CoveyError("failed_precondition", "Cannot read the cluster: it has not been created yet");
    }
    return cluster;
  }

  /** Listens for nodes and starts the leader's components. */
  async serve(identity: NodeIdentity): Promise<void> {
    this.#identity = identity;
    this.#listener = await listenTLS({
      listen: this.#options.listen,
      identity: () => this.#material(),
      verifyPeer: (chain) => this.#verifyPeer(chain),
      router: this.#router(),
      clock: this.#options.clock,
    });
    this.#unsubscribe = this.consensus.subscribe((status) => {
      void this.#leadership.set(status.isLeader);
      this.#dispatcher.refresh();
    });
    await this.#leadership.set(this.consensus.status().isLeader);
  }

  /** Puts a renewed certificate to use; connections stay. */
  useIdentity(identity: NodeIdentity): void {
    this.#identity = identity;
    this.#listener?.refreshIdentity();
  }

  async rotateJoinToken(role: "worker" | "manager"): Promise<void> {
    await this.store.update((tx) => {
      const cluster = tx.all("clusters")[0]!;
      const token = createJoinToken(cluster.RootCA.CACert, this.#options.random);
      const JoinTokens = { ...cluster.RootCA.JoinTokens, [role === "worker" ? "Worker" : "Manager"]: token };
      tx.update("clusters", { ...cluster, RootCA: { ...cluster.RootCA, JoinTokens } });
    });
  }

  forward(request: ControlRequest): Promise<Response | undefined> {
    return this.#routing.forward(request);
  }

  async stop(): Promise<void> {
    this.#unsubscribe();
    this.#routing.close();
    await this.#leadership.set(false);
    await this.#listener?.close();
    await this.consensus.stop();
  }

  #managers(): WeightedPeer[] {
    return this.consensus.status().members.map(({ nodeID, address }) => ({
      NodeID: nodeID,
      Addr: address,
      Weight: MANAGER_WEIGHT,
    }));
  }

  #router() {
    const { clock, random } = this.#options;
    const leader = this.#routing.caLeader;
    const ca = new CAServer({ backend: new StoreCABackend(this.store), clock, random, leader });
    const router = createRouter();
    for (const { name, ...method } of ca.methods()) router.register(name, method as Method);
    for (const [name, method] of Object.entries(this.#routing.methods(this.#dispatcher.methods()))) {
      router.register(name, method);
    }
    return router;
  }

  #material() {
    const { certificateChainPEM, privateKeyPEM } = this.#identity!;
    return { certificatePEM: certificateChainPEM, privateKeyPEM };
  }

  #verifyPeer(chainPEM: string | undefined): PeerIdentity | undefined {
    if (chainPEM === undefined) return undefined;
    const { ID, RootCA, BlacklistedCertificates } = this.cluster;
    return verifyPeerChain(chainPEM, {
      roots: [RootCA.CACert],
      now: this.#options.clock.now(),
      clusterID: ID,
      blocked: (nodeID) => nodeID in BlacklistedCertificates,
    });
  }
}
