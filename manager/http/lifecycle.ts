/** What the control API needs of the node it runs on: which cluster it is in, and how it joins and leaves. */
import type { RestoreParameters, RestoreResponse } from "../../api/backup.ts";
import type { Cluster, ClusterSpec, SigningCA } from "../../api/cluster.ts";
import type { NodeAvailability } from "../../api/node.ts";
import type { ShownMetrics } from "../../api/node_metrics.ts";
import type { StreamRequest } from "../../api/streams.ts";
import type { LogBroker, StreamBroker } from "../broker/mod.ts";
import type { Caller } from "../control/caller.ts";
import type { Consensus } from "../consensus/consensus.ts";
import type { ControlRequest } from "../forward/mod.ts";
import type { Store } from "../store/store.ts";

/** The Engine API's `LocalNodeState`. */
export type LocalNodeState = "inactive" | "pending" | "active" | "error" | "locked";

/** Starts a new cluster; addresses are HOST:PORT, empty for the node's own. */
export interface InitRequest extends Pick<Cluster, "DefaultAddrPool" | "SubnetSize" | "DataPathPort"> {
  ListenAddr?: string;
  AdvertiseAddr?: string;
  /** IP address or interface for overlay networks; that of the node itself where it is absent. */
  DataPathAddr?: string;
  ForceNewCluster?: boolean;
  Availability?: NodeAvailability;
  Spec?: Partial<ClusterSpec>;
  /** The root of the new cluster, else it makes one. */
  SigningCA?: SigningCA;
}

/** Joins an existing cluster as the role that the token says. */
export interface JoinRequest {
  ListenAddr?: string;
  AdvertiseAddr?: string;
  DataPathAddr?: string;
  RemoteAddrs: string[];
  JoinToken: string;
  Availability?: NodeAvailability;
}

/** The manager that runs in this process, while the node is one. */
export interface ManagerHandle {
  store: Store;
  consensus: Consensus;
  nodeID: string;
  /** HOST:PORT that other nodes reach this manager at. */
  advertiseAddr: string;
  /**
   * The leader's response to a request of the control API; if this manager leads, what `here` answers, or undefined without
   * that. See `routing/`.
   */
  forward(request: ControlRequest, here?: () => Promise<Response>): Promise<Response | undefined>;
  /** Logs of tasks, while this manager leads. */
  logs: LogBroker;
  /** Streams into tasks, while this manager leads. */
  streams: StreamBroker;
  /** Opens a stream into a task, whoever leads; see `StreamForwarder.open`. */
  openStream(
    request: StreamRequest,
    caller: Caller,
    fromClient: AsyncIterator<Uint8Array>,
    signal: AbortSignal,
  ): Promise<AsyncIterableIterator<unknown>>;
  /** How a node said that it is, while this manager leads. */
  metrics(nodeID: string): ShownMetrics | undefined;
}

/** The node's life as a member of a cluster. */
export interface NodeLifecycle {
  readonly state: LocalNodeState;
  /** Why the node is in the `error` state, or what `pending` waits for. */
  readonly error: string;
  readonly nodeID: string;
  /** Address this node advertises, without port. */
  readonly nodeAddr: string;
  /** An agent is started beside the manager, and tells of the node. */
  readonly hasAgent: boolean;
  /** Managers this node knows of. */
  readonly remoteManagers: { NodeID: string; Addr: string }[];
  /** Undefined on a worker and while no cluster is joined. */
  readonly manager: ManagerHandle | undefined;
  /** Resolves with the node's ID. Throws `failed_precondition` if the node is in a cluster. */
  init(request: InitRequest): Promise<string>;
  join(request: JoinRequest): Promise<void>;
  /**
   * Opens what is locked, and goes on. Throws `invalid_argument` for what is no unlock key, `unauthenticated` for
   * one of another lock.
   */
  unlock(key: string): Promise<void>;
  /**
   * Makes this node the only manager of the cluster in `backup`. Throws `failed_precondition` if the node is in
   * a cluster, and as `readBackup` does; then nothing of it is left here.
   */
  restore(backup: AsyncIterable<Uint8Array>, request: RestoreParameters): Promise<RestoreResponse>;
  /** Leaves the cluster and wipes its state; a manager needs `force` where leaving would lose the cluster. */
  leave(force: boolean): Promise<void>;
}
