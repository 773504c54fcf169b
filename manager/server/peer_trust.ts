/** Whom a manager takes for a node of its cluster, and what it shows itself. */
import { clusterOf } from "../cluster/cluster_object.ts";
import type { Clock } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import { type NodeIdentity, verifyPeerChain } from "../../security/mod.ts";
import {
  type Dialer,
  type Listener,
  listenTLS,
  type PeerIdentity,
  type Router,
  tlsDialer,
} from "../../transport/mod.ts";
import type { Store } from "../store/store.ts";

/** How a manager reaches other nodes, and they it: mutual TLS, or a simulated network. */
export interface ManagerNetwork {
  /** Opens connections to other managers as this node. */
  readonly dialer: Dialer;
  /** The state to judge by, as soon as there is one. */
  useStore(store: Store): void;
  /** The certificate to show from now on. */
  useIdentity(identity: NodeIdentity): void;
  /** Serves `router` at `listen`, HOST:PORT. */
  listen(listen: string, router: Router): Promise<Listener>;
}

/** The cluster's root and blacklist from the store; before the state has arrived, the root this node joined with. */
export class PeerTrust implements ManagerNetwork {
  readonly dialer: Dialer;
  readonly #clock: Clock;
  #store: Store | undefined;
  #identity: NodeIdentity | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.dialer = tlsDialer({
      identity: () => this.#identity && this.#material(),
      verifyPeer: (chain) => this.#verify(chain),
      clock,
    });
  }

  useStore(store: Store): void {
    this.#store = store;
  }

  useIdentity(identity: NodeIdentity): void {
    this.#identity = identity;
  }

  listen(listen: string, router: Router): Promise<Listener> {
    return listenTLS({
      listen,
      identity: () => this.#material(),
      verifyPeer: (chain) => this.#verify(chain),
      router,
      clock: this.#clock,
    });
  }

  /** This node's certificate and key. */
  #material() {
    const { certificateChainPEM, privateKeyPEM } = this.#identity!;
    return { certificatePEM: certificateChainPEM, privateKeyPEM };
  }

  /** The node that a chain proves; undefined without one. Throws what is wrong with it. */
  #verify(chainPEM: string | undefined): PeerIdentity | undefined {
    if (chainPEM === undefined) return undefined;
    return verifyPeerChain(chainPEM, { ...this.#trusted(), now: this.#clock.now() });
  }

  #trusted() {
    const cluster = this.#store && clusterOf(this.#store);
    if (cluster) {
      const { ID, RootCA, BlacklistedCertificates } = cluster;
      return {
        roots: [RootCA.CACert],
        clusterID: ID,
        blocked: (nodeID: string) => nodeID in BlacklistedCertificates,
      };
    }
    if (this.#identity) return { roots: [this.#identity.rootCAPEM], clusterID: this.#identity.clusterID };
    throw new CoveyError("unavailable", "Cannot judge a certificate: the cluster is still being created");
  }
}
