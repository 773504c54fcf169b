/** A manager's port with the real CA, dispatcher, store and TLS; only its log is in memory. */
import tls from "node:tls";
import { systemClock } from "../../api/clock.ts";
import type { Cluster } from "../../api/cluster.ts";
import { newID, systemRandom } from "../../api/random.ts";
import { CAServer } from "../../manager/ca/mod.ts";
import { StoreCABackend } from "../../manager/ca/store_backend.ts";
import { Dispatcher } from "../../manager/dispatcher/mod.ts";
import { firstNode, newCluster } from "../../manager/node/bootstrap.ts";
import { issueOwnIdentity } from "../../manager/node/own_identity.ts";
import type { Store } from "../../manager/store/mod.ts";
import {
  assembleIdentity,
  createPrivateKeyPEM,
  joinCluster,
  type NodeIdentity,
  RemoteCA,
  verifyPeerChain,
} from "../../security/mod.ts";
import {
  type Connection,
  createRouter,
  type Listener,
  listenTLS,
  type Method,
  type Router,
  tlsDialer,
  type TLSMaterial,
} from "../../transport/mod.ts";
import { testStore } from "../support/store.ts";

const CONTEXT = { clock: systemClock, random: systemRandom };

// Without a certificate, this engine resumes a TLS session with whatever address is dialed next, and all listeners of a
// process accept each other's sessions: of two managers in one process, the second would be taken for the first.
// A server name of its own keeps each dial to a handshake of its own.
const connect = tls.connect as (options: tls.ConnectionOptions) => tls.TLSSocket;
Object.assign(tls, {
  connect: (options: tls.ConnectionOptions) =>
    connect({ servername: `${crypto.randomUUID()}.test`, ...options }),
});

/** An identity as the transport takes it. */
export function materialOf(identity: NodeIdentity): TLSMaterial {
  return { certificatePEM: identity.certificateChainPEM, privateKeyPEM: identity.privateKeyPEM };
}

/** Connects to `address` as `identity`, or without a certificate, to whoever is there. */
export function dialAs(address: string, identity: NodeIdentity | undefined): Promise<Connection> {
  return tlsDialer({
    identity: () => identity && materialOf(identity),
    verifyPeer: () => undefined,
    clock: systemClock,
  }).dial(address);
}

/** A new cluster with one manager that listens on a port of its own. */
export class ManagerPort {
  readonly remote: RemoteCA;

  private constructor(
    readonly store: Store,
    readonly router: Router,
    readonly listener: Listener,
    readonly dispatcher: Dispatcher,
    readonly own: { identity: NodeIdentity },
  ) {
    this.remote = new RemoteCA({ addresses: () => [listener.address], clock: systemClock });
  }

  static async start(): Promise<ManagerPort> {
    const { store } = testStore({ clock: systemClock });
    const created = await newCluster(newID(systemRandom), {}, CONTEXT);
    const node = firstNode(newID(systemRandom), "active");
    await store.update((tx) => {
      tx.create("clusters", created);
      tx.create("nodes", node);
    });
    const cluster = () => store.all("clusters")[0]!;
    const dispatcher = new Dispatcher({
      ...CONTEXT,
      store,
      managers: () => [],
      rootCA: () => cluster().RootCA.CACert,
    });
    const router = createRouter();
    const ca = new CAServer({ ...CONTEXT, backend: new StoreCABackend(store) });
    for (const { name, ...method } of ca.methods()) router.register(name, method);
    for (const [name, method] of Object.entries(dispatcher.methods())) {
      router.register(name, method as Method);
    }
    const files = await issueOwnIdentity(created, node.ID, await createPrivateKeyPEM(), CONTEXT);
    const own = { identity: assembleIdentity(files) };
    const listener = await listenTLS({
      listen: "127.0.0.1:0",
      router,
      clock: systemClock,
      identity: () => materialOf(own.identity),
      verifyPeer: (chain) => chain === undefined ? undefined : judge(chain, cluster()),
    });
    await dispatcher.start();
    return new ManagerPort(store, router, listener, dispatcher, own);
  }

  get cluster(): Cluster {
    return this.store.all("clusters")[0]!;
  }

  get address(): string {
    return this.listener.address;
  }

  /** Joins a new node with `token`, asking at `remote`. */
  async join(token = this.cluster.RootCA.JoinTokens.Worker, remote = this.remote): Promise<NodeIdentity> {
    return await joinCluster({
      token,
      privateKeyPEM: await createPrivateKeyPEM(),
      clock: systemClock,
      getRootCA: () => remote.getRootCA(),
      issueNodeCertificate: (request, rootCAPEM) => remote.issueNodeCertificate(request, rootCAPEM),
    });
  }

  /** Removes a node as SwarmKit does: its object goes, its certificates are refused from then on. */
  async removeNode(nodeID: string): Promise<void> {
    await this.store.update((tx) => {
      const until = new Date(systemClock.now() + this.cluster.Spec.CAConfig.NodeCertExpiry / 1e6)
        .toISOString();
      const cluster = tx.all("clusters")[0]!;
      const BlacklistedCertificates = { ...cluster.BlacklistedCertificates, [nodeID]: until };
      tx.update("clusters", { ...cluster, BlacklistedCertificates });
      tx.delete("nodes", nodeID);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.dispatcher.stop();
    await this.listener.close();
  }
}

function judge(chain: string, { ID, RootCA, BlacklistedCertificates }: Cluster) {
  return verifyPeerChain(chain, {
    roots: [RootCA.CACert],
    now: systemClock.now(),
    clusterID: ID,
    blocked: (nodeID) => nodeID in BlacklistedCertificates,
  });
}
