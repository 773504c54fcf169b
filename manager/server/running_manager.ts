/** A manager at work: consensus, store, CA and dispatcher behind one port, and the leader's components. */
import { requireCluster } from "../cluster/cluster_object.ts";
import { getLogger } from "@logtape/logtape";
import type { Clock } from "../../api/clock.ts";
import type { Cluster } from "../../api/cluster.ts";
import type { WeightedPeer } from "../../api/dispatcher.ts";
import type { ShownMetrics } from "../../api/node_metrics.ts";
import type { Random } from "../../api/random.ts";
import type { NodeIdentity } from "../../security/mod.ts";
import type { Listener } from "../../transport/mod.ts";
import type { StreamRequest } from "../../api/streams.ts";
import { LogBroker, StreamBroker } from "../broker/mod.ts";
import type { Caller } from "../control/caller.ts";
import { openTaskStream } from "../control/streams.ts";
import { Dispatcher } from "../dispatcher/mod.ts";
import { Leadership } from "../leader/leadership.ts";
import type { ManagerHandle } from "../http/lifecycle.ts";
import { sealFolder, settleFolder } from "../consensus/disk/seal_folder.ts";
import { NeverSealed } from "../consensus/disk/sealed_disk.ts";
import { RaftMember, type RaftMemberOptions, type Skip } from "../consensus/member/mod.ts";
import { type Answer, type ControlRequest, Routing } from "../forward/mod.ts";
import { createStore, type Store } from "../store/mod.ts";
import { ConnectionKeeper } from "./connection_keeper.ts";
import { leaderComponents } from "./leader_components.ts";
import { leaderTeller } from "./leader_teller.ts";
import { managerRouter } from "./manager_router.ts";
import { type ManagerNetwork, PeerTrust } from "./peer_trust.ts";
import { followRaftSettings } from "./raft_settings.ts";
import type { Judge } from "./standing.ts";

const logger = getLogger(["covey", "node"]);

/** The state, in the folder of the log and checkpoint. */
const STATE_FILE = "state.kv";

/** What agents weigh managers by (SwarmKit `DefaultObservationWeight`). */
const MANAGER_WEIGHT = 10;

/** What a manager works with. */
export interface RunningManagerOptions {
  /** Folder of the log and checkpoint. */
  raftDir: string;
  /** What the state in it is sealed with, the newest last. */
  dataKeys: readonly Uint8Array[];
  nodeID: string;
  /** HOST:PORT */
  listen: string;
  /** HOST:PORT */
  advertise: string;
  clock: Clock;
  random: Random;
  /** Answers requests of the control API that other managers hand to this one. */
  answer: Answer;
  /** With an empty folder: wait to be added to a cluster instead of starting one. */
  join?: boolean;
  /** Make this manager the only one, after the majority was lost for good. */
  forceNewCluster?: boolean;
  /** What the quorum's member is to pass over, because it cannot be read. */
  skip?: Skip;
  /** The certificate, where there is one already. */
  identity?: NodeIdentity;
}

/** The world outside, which a simulation stands in for. */
export interface ManagerEffects {
  network: ManagerNetwork;
  /** Opens this manager's part of the quorum, with its disk. */
  openMember(options: RaftMemberOptions): Promise<RaftMember>;
}

/** Deno KV in the folder, and mutual TLS. */
function systemEffects({ raftDir, clock, dataKeys }: RunningManagerOptions): ManagerEffects {
  return {
    network: new PeerTrust(clock),
    async openMember(options) {
      await settleFolder(raftDir);
      await Deno.mkdir(raftDir, { recursive: true, mode: 0o700 });
      const open = () => RaftMember.open(`${raftDir}/${STATE_FILE}`, { ...options, dataKeys });
      try {
        return await open();
      } catch (thrown) {
        if (!(thrown instanceof NeverSealed)) throw thrown;
        logger.info("Seals the state, which an earlier version wrote in clear");
        await sealFolder(raftDir, STATE_FILE, dataKeys);
        return await open();
      }
    },
  };
}

/** Opens the state first, so that the caller can put the first objects there, then serves. */
export class RunningManager implements ManagerHandle {
  readonly store: Store;
  readonly consensus: RaftMember;
  readonly nodeID: string;
  readonly advertiseAddr: string;
  readonly logs: LogBroker;
  readonly streams: StreamBroker;
  readonly #options: RunningManagerOptions;
  readonly #dispatcher: Dispatcher;
  readonly #leadership: Leadership;
  readonly #routing: Routing;
  readonly #network: ManagerNetwork;
  readonly #judge: Judge;
  #listener: Listener | undefined;
  #unsubscribe = () => {};
  readonly #untime: () => void;

  private constructor(
    options: RunningManagerOptions,
    consensus: RaftMember,
    store: Store,
    network: ManagerNetwork,
    judge: Judge,
  ) {
    this.#options = options;
    this.#network = network;
    this.#judge = judge;
    this.consensus = consensus;
    this.store = store;
    this.#untime = followRaftSettings(consensus, store);
    this.nodeID = options.nodeID;
    this.advertiseAddr = options.advertise;
    const { clock, random, nodeID, answer } = options;
    this.#routing = new Routing({
      consensus,
      nodeID,
      dialer: network.dialer,
      clock,
      answer,
      openTaskStream: (...what) => openTaskStream({ view: store, streams: this.streams }, ...what),
    });
    this.#dispatcher = new Dispatcher({
      store,
      clock,
      random,
      managers: () => this.#managers(),
      rootCA: () => this.cluster.RootCA.CACert,
    });
    this.logs = new LogBroker({ store, asks: this.#dispatcher.asks, clock, random });
    this.streams = new StreamBroker({ asks: this.#dispatcher.asks, clock, random });
    this.#leadership = new Leadership(
      leaderComponents({ store, clock, random, dispatcher: this.#dispatcher, members: consensus }),
      clock,
    );
  }

  /** Loads the state; nothing is served yet. Errors are those of `Consensus.start`. */
  static async open(
    options: RunningManagerOptions,
    { network, openMember }: ManagerEffects = systemEffects(options),
  ): Promise<RunningManager> {
    const { nodeID, advertise, clock, random, join, forceNewCluster, skip, identity } = options;
    if (identity) network.useIdentity(identity);
    const consensus = await openMember({
      nodeID,
      address: advertise,
      clock,
      random,
      dialer: network.dialer,
      ...(join && { join }),
      ...(forceNewCluster && { forceNewCluster }),
      ...(skip && { skip }),
    });
    const store = createStore(consensus, clock);
    const judge: Judge = {
      view: store,
      leads: () => consensus.status().isLeader,
      certified: (peer) => network.certified(peer),
    };
    network.useJudge(judge);
    try {
      await consensus.start(store);
    } catch (thrown) {
      await consensus.stop();
      throw thrown;
    }
    return new RunningManager(options, consensus, store, network, judge);
  }

  /** The cluster object; throws `unavailable` before it was created. */
  get cluster(): Cluster {
    return requireCluster(this.store);
  }

  /** Listens for nodes; the leader's components start, which is not waited for. */
  async serve(identity: NodeIdentity): Promise<void> {
    this.#network.useIdentity(identity);
    const router = managerRouter({
      ...this.#options,
      store: this.store,
      judge: this.#judge,
      consensus: this.consensus,
      dispatcher: this.#dispatcher,
      routing: this.#routing,
    });
    const keeper = new ConnectionKeeper(this.#judge, this.#options.clock);
    this.#listener = await this.#network.listen(
      this.#options.listen,
      router,
      (connection) => keeper.add(connection),
    );
    const unfollow = this.store.subscribe((commit) => keeper.follow(commit));
    const tell = leaderTeller(this.nodeID, (level, line) => logger[level](line));
    tell(this.consensus.status());
    let led = false;
    const unsubscribe = this.consensus.subscribe((status) => {
      tell(status);
      if (status.isLeader && !led) keeper.reviewAll();
      led = status.isLeader;
      void this.#leadership.follow(status);
      this.#dispatcher.refresh();
    });
    this.#unsubscribe = () => {
      unfollow();
      unsubscribe();
    };
    void this.#leadership.follow(this.consensus.status());
  }

  /** Puts a renewed certificate to use; connections stay. */
  useIdentity(identity: NodeIdentity): void {
    this.#network.useIdentity(identity);
    this.#listener?.refreshIdentity();
  }

  metrics(nodeID: string): ShownMetrics | undefined {
    return this.#dispatcher.metrics(nodeID);
  }

  forward(request: ControlRequest, here?: () => Promise<Response>): Promise<Response | undefined> {
    return this.#routing.forward(request, here);
  }

  openStream(
    request: StreamRequest,
    caller: Caller,
    fromClient: AsyncIterator<Uint8Array>,
    signal: AbortSignal,
  ): Promise<AsyncIterableIterator<unknown>> {
    return this.#routing.openStream(request, caller, fromClient, signal);
  }

  async stop(): Promise<void> {
    this.#unsubscribe();
    this.#untime();
    this.#routing.close();
    await this.#leadership.follow({ isLeader: false, term: 0 });
    // The listener closes last: stopping hands leadership over, and for that the others must still be heard.
    await this.consensus.stop();
    await this.#listener?.close();
  }

  #managers(): WeightedPeer[] {
    return this.consensus.status().members.map(({ nodeID, address }) => ({
      NodeID: nodeID,
      Addr: address,
      Weight: MANAGER_WEIGHT,
    }));
  }
}
