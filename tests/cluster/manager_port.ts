/** A manager's port with everything that is real but its disk, which is in memory. */
import { noStreams } from "../support/no_streams.ts";
import tls from "node:tls";
import { systemClock } from "../../api/clock.ts";
import type { Cluster } from "../../api/cluster.ts";
import { newID, systemRandom } from "../../api/random.ts";
import { Dispatcher } from "../../manager/dispatcher/mod.ts";
import { firstNode, newCluster } from "../../manager/cluster/new_cluster.ts";
import { ConnectionKeeper } from "../../manager/server/connection_keeper.ts";
import { managerRouter } from "../../manager/server/manager_router.ts";
import { issueOwnIdentity } from "../../manager/process/own_identity.ts";
import { PeerTrust } from "../../manager/server/peer_trust.ts";
import { RaftMember } from "../../manager/consensus/member/mod.ts";
import { Routing } from "../../manager/forward/mod.ts";
import { createStore, type Store } from "../../manager/store/mod.ts";
import {
  assembleIdentity,
  createPrivateKeyPEM,
  joinCluster,
  type NodeIdentity,
  RemoteCA,
} from "../../security/mod.ts";
import {
  type Connection,
  type Listener,
  type PeerIdentity,
  type Router,
  tlsDialer,
  type TLSMaterial,
} from "../../transport/mod.ts";
import { MemoryDisk } from "../manager/consensus/member/memory_disk.ts";

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
    readonly routing: Routing,
    readonly member: RaftMember,
    readonly own: { identity: NodeIdentity },
  ) {
    this.remote = new RemoteCA({ addresses: () => [listener.address], clock: systemClock });
  }

  static async start(): Promise<ManagerPort> {
    const node = firstNode(newID(systemRandom), "active");
    const trust = new PeerTrust(systemClock);
    const address = freeAddress();
    const member = await RaftMember.openOnDisk(new MemoryDisk().open(), {
      ...CONTEXT,
      nodeID: node.ID,
      address,
      dialer: trust.dialer,
    });
    const store = createStore(member, systemClock);
    await member.start(store);
    const created = await newCluster(newID(systemRandom), {}, CONTEXT);
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
    const routing = new Routing({
      consensus: member,
      nodeID: node.ID,
      dialer: trust.dialer,
      clock: systemClock,
      answer: () => new Response(null),
      openTaskStream: noStreams,
    });
    const judge = {
      view: store,
      leads: () => member.status().isLeader,
      certified: (peer: PeerIdentity) => trust.certified(peer),
    };
    const router = managerRouter({ ...CONTEXT, store, judge, consensus: member, dispatcher, routing });
    const files = await issueOwnIdentity(created, node.ID, await createPrivateKeyPEM(), CONTEXT);
    const own = ownIdentity(assembleIdentity(files), (identity) => trust.useIdentity(identity));
    trust.useJudge(judge);
    const keeper = new ConnectionKeeper(judge, systemClock);
    store.subscribe((commit) => keeper.follow(commit));
    const listener = await trust.listen(address, router, (connection) => keeper.add(connection));
    await dispatcher.start();
    return new ManagerPort(store, router, listener, dispatcher, routing, member, own);
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
      getRootCA: (check) => remote.getRootCA(check),
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

  /** Makes a manager a worker, as the role manager does once it has left the quorum. */
  async demoteNode(nodeID: string): Promise<void> {
    await this.store.update((tx) => {
      const node = tx.get("nodes", nodeID)!;
      tx.update("nodes", { ...node, Role: "worker", Spec: { ...node.Spec, Role: "worker" } });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.dispatcher.stop();
    this.routing.close();
    await this.listener.close();
    await this.member.stop();
  }
}

/** HOST:PORT where nobody listens. */
function freeAddress(): string {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  return `127.0.0.1:${port}`;
}

/** A manager's identity, which `use` shall hear of whenever it is another. */
function ownIdentity(identity: NodeIdentity, use: (identity: NodeIdentity) => void) {
  use(identity);
  return {
    get identity() {
      return identity;
    },
    set identity(renewed: NodeIdentity) {
      identity = renewed;
      use(identity);
    },
  };
}
