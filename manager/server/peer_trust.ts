/** Whom a manager takes for a node of its cluster, and what it shows itself. */
import { clusterOf } from "../cluster/cluster_object.ts";
import { formerRoots, trustedRoots } from "../cluster/root_ca.ts";
import type { Clock } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import { CERT_BACKDATE_MS, type NodeIdentity, readCertificate, verifyPeerChain } from "../../security/mod.ts";
import {
  type Connection,
  type Dialer,
  type Listener,
  listenTLS,
  type PeerIdentity,
  type Router,
  tlsDialer,
} from "../../transport/mod.ts";
import { renewalGraceMs } from "../../api/cluster.ts";
import { type Certified, checkManager, type Judge, welcome } from "./standing.ts";

/** How a manager reaches other nodes, and they it: mutual TLS, or a simulated network. */
export interface ManagerNetwork {
  /** Opens connections to other managers as this node. */
  readonly dialer: Dialer;
  /** The state to judge by, as soon as there is one. */
  useJudge(judge: Judge): void;
  /** What the certificate of a peer says of itself; undefined if it cannot be read. */
  certified(peer: PeerIdentity): Certified | undefined;
  /** The certificate to show from now on. */
  useIdentity(identity: NodeIdentity): void;
  /** Serves `router` at `listen`, HOST:PORT; `onConnection` is told of each connection that is accepted. */
  listen(listen: string, router: Router, onConnection: (connection: Connection) => void): Promise<Listener>;
}

/** The cluster's root from the store, and who is still in it; before the state has arrived, the root this node joined with. */
export class PeerTrust implements ManagerNetwork {
  readonly dialer: Dialer;
  readonly #clock: Clock;
  /** Read once for each connection that there is a doubt about. */
  readonly #certified = new WeakMap<PeerIdentity, Certified | undefined>();
  #judge: Judge | undefined;
  #identity: NodeIdentity | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.dialer = tlsDialer({
      identity: () => this.#identity && this.#material(),
      verifyPeer: (chain) => this.#verifyManager(chain),
      clock,
    });
  }

  useJudge(judge: Judge): void {
    this.#judge = judge;
  }

  certified(peer: PeerIdentity): Certified | undefined {
    if (!this.#certified.has(peer)) this.#certified.set(peer, readCertified(peer.certificatePEM));
    return this.#certified.get(peer);
  }

  useIdentity(identity: NodeIdentity): void {
    this.#identity = identity;
  }

  listen(
    listen: string,
    router: Router,
    onConnection: (connection: Connection) => void,
  ): Promise<Listener> {
    return listenTLS({
      listen,
      identity: () => this.#material(),
      verifyPeer: (chain) => this.#welcome(chain),
      router,
      clock: this.#clock,
      onConnection,
    });
  }

  /** This node's certificate and key. */
  #material() {
    const { certificateChainPEM, privateKeyPEM } = this.#identity!;
    return { certificatePEM: certificateChainPEM, privateKeyPEM };
  }

  /** The manager at the other end of a dial: managers dial each other only. Throws what is wrong with it. */
  #verifyManager(chainPEM: string | undefined): PeerIdentity {
    const peer = verifyPeerChain(chainPEM ?? "", { ...this.#trusted(), now: this.#clock.now() });
    checkManager(peer, this.#judge);
    return peer;
  }

  /**
   * The node that dials; undefined without a certificate. One that has expired may be renewed for a while; a node that is
   * gone is refused. Throws what is wrong.
   */
  #welcome(chainPEM: string | undefined): PeerIdentity | undefined {
    if (chainPEM === undefined) return undefined;
    const cluster = this.#judge && clusterOf(this.#judge.view);
    const { roots, clusterID } = this.#trusted();
    const peer = verifyPeerChain(chainPEM, {
      clusterID,
      // What only a former root vouches for is let in to be renewed; its standing says so.
      roots: cluster ? [...roots, ...formerRoots(cluster)] : roots,
      now: this.#clock.now(),
      ...(cluster && { expiredGraceMs: renewalGraceMs(cluster.Spec) }),
    });
    return this.#judge ? welcome(peer, this.#judge) : peer;
  }

  #trusted() {
    const cluster = this.#judge && clusterOf(this.#judge.view);
    if (cluster) {
      return { roots: trustedRoots(cluster), clusterID: cluster.ID };
    }
    if (this.#identity) return { roots: [this.#identity.rootCAPEM], clusterID: this.#identity.clusterID };
    throw new CoveyError("unavailable", "Cannot judge a certificate: the cluster is still being created");
  }
}

function readCertified(pem: string): Certified | undefined {
  try {
    const { publicKeyDigest, notBefore } = readCertificate(pem);
    return { publicKeyDigest, issuedAt: notBefore + CERT_BACKDATE_MS };
  } catch {
    return undefined;
  }
}
