/**
 * Who this node is: its own certificate, joined for and renewed here, or that of the manager beside it. Imports no `mod.ts`,
 * which would load what only managers need.
 */
import { SayOnce } from "../api/say_once.ts";
import { getLogger } from "../api/log.ts";
import { sleep } from "../api/clock.ts";
import { inWords } from "../api/duration.ts";
import { CoveyError } from "../api/errors.ts";
import type { SessionMessage } from "../api/dispatcher.ts";
import type { Random } from "../api/random.ts";
import { readCertificate } from "../security/certificate.ts";
import type { ClockFloor } from "../security/clock_floor.ts";
import { systemFileSystem } from "../security/file_system.ts";
import { IdentityStore } from "../security/identity_store.ts";
import { joinCluster } from "../security/join_cluster.ts";
import type { NodeIdentity } from "../security/node_identity.ts";
import { RemoteCA } from "../security/remote_ca.ts";
import { issuerDigestOf } from "../security/root_tls_info.ts";
import { renewLate } from "../security/renew_late.ts";
import { Renewer } from "../security/renewer.ts";
import { verifyPeerChain } from "../security/verify_peer_chain.ts";
import { tlsDialer } from "../transport/tls_dialer.ts";
import type { PeerIdentity } from "../transport/types.ts";
import { sessionBackoff } from "./backoff.ts";
import type { ManagerConnection, ManagerDialer } from "./connection.ts";
import type { TrafficCounter } from "./traffic.ts";

/** Pause before a manager's identity that is not there yet is looked for again. */
const SHARED_RETRY_MS = 1000;
/** How often it is looked for once managers have told of another root; each dial looks, too. */
const SHARED_TRIES = 600;

/** What an identity is kept with. */
export interface IdentityOptions {
  clock: ClockFloor;
  random: Random;
  /** Folder that holds `certificates/`. */
  folder: string;
  /** Managers to join or renew through, HOST:PORT; asked for at each call. */
  managers: () => readonly string[];
  signal: AbortSignal;
}

/** The node's identity, always the newest. */
export interface IdentityKeeper {
  readonly nodeID: string;
  readonly current: NodeIdentity;
  /** The private keys (PEM) that the node has and last had, the present one first. */
  keys(): Promise<string[]>;
  /** Called before each dial. */
  refresh(): Promise<void>;
  /** What a manager says of roots: the cluster's, and the issuer whose certificate this node is to have. */
  heard(message: ToldOfRoots): void;
  /** A manager takes the certificate for nothing but its renewal. */
  refused(): void;
  /** Called when the identity is another one. */
  onChanged: () => void;
  stop(): void;
}

/** The part of a session's messages that is about certificates. */
export type ToldOfRoots = Pick<SessionMessage, "RootCA"> & { Node: Pick<SessionMessage["Node"], "Renewal"> };

const logger = getLogger(["covey", "agent"]);

/**
 * The identity in the agent's own folder; without one, joins with `token`, for as long as no manager answers. Throws what
 * makes joining hopeless: a wrong token, a root that does not match it.
 */
export async function ownIdentity(
  options: IdentityOptions & { token: string | undefined },
): Promise<IdentityKeeper> {
  const { clock, random, folder, managers, token } = options;
  const store = new IdentityStore(systemFileSystem, folder);
  const ca = new RemoteCA({ addresses: managers, clock });
  const identity = await store.load() ?? await store.save(await join(options, store, ca, token));
  // A full disk keeps no node from its cluster.
  await store.keepKeyTwice(identity).catch(() => {});
  learnTime(clock, identity);
  const said = new SayOnce();
  const renewer: Renewer = new Renewer({
    clock,
    random,
    store,
    identity,
    renew: (csr, signal) => {
      const late = { ca, clock, identity: renewer.identity, pendingKeyPEM: () => store.pendingKey(), token };
      return renewLate(late, csr, signal);
    },
    onRenewed: (renewed) => {
      said.reset();
      clock.observe(renewed.notBefore);
      keeper.onChanged();
    },
    onFailure: ({ message }, retryMs) => {
      if (!said.isNew(message)) return;
      const pause = inWords(retryMs);
      logger.warn("Cannot renew the certificate, next try in {pause}: {message}", { pause, message });
    },
  });
  renewer.start();
  const keeper: IdentityKeeper = {
    nodeID: identity.nodeID,
    get current() {
      return renewer.identity;
    },
    keys: () => store.keys(),
    refresh: () => Promise.resolve(),
    heard({ RootCA, Node: { Renewal } }) {
      renewer.trust(RootCA);
      if (Renewal && !Renewal.Done && Renewal.Issuer !== issuerDigestOf(renewer.identity)) renewer.renewNow();
    },
    refused: () => renewer.refused(),
    onChanged: () => {},
    stop: () => renewer.stop(),
  };
  return keeper;
}

async function join(
  options: IdentityOptions,
  store: IdentityStore,
  ca: RemoteCA,
  token: string | undefined,
): Promise<NodeIdentity> {
  const { clock, random, signal } = options;
  if (token === undefined) {
    throw new CoveyError(
      "failed_precondition",
      "Cannot join: this node has no certificate yet, give --join and --token",
    );
  }
  const privateKeyPEM = await store.pendingKey();
  const backoff = sessionBackoff(random);
  const said = new SayOnce();
  const sayWhy = (thrown: unknown): never => {
    const error = CoveyError.from(thrown);
    if (mayPass(error) && said.isNew(error.message)) {
      const hint = error.reason === "dates" ? "; is the clock of this device right?" : "";
      logger.warn("Cannot join yet, trying again: {message}{hint}", { message: error.message, hint });
    }
    throw thrown;
  };
  while (true) {
    try {
      return await joinCluster({
        token,
        privateKeyPEM,
        clock,
        getRootCA: (check) => ca.getRootCA(check, signal).catch(sayWhy),
        issueNodeCertificate: (request, root) => ca.issueNodeCertificate(request, root, signal).catch(sayWhy),
        signal,
      });
    } catch (thrown) {
      const error = CoveyError.from(thrown);
      if (!mayPass(error) || signal.aborted) throw error;
      await sleep(clock, backoff.next(), signal);
    }
  }
}

/** A device's clock may be years off at its start, until somebody or some service sets it. */
function mayPass({ retryable, reason }: CoveyError): boolean {
  return retryable || reason === "dates";
}

/** The identity of the manager beside this agent: read when needed, never written; waits until there is one. */
export async function sharedIdentity(
  options: IdentityOptions & { sealKey?: Uint8Array | undefined },
): Promise<IdentityKeeper> {
  const { clock, folder, signal, sealKey } = options;
  const store = new IdentityStore(systemFileSystem, folder, sealKey);
  let current = await store.load();
  while (!current) {
    await sleep(clock, SHARED_RETRY_MS, signal);
    current = await store.load();
  }
  learnTime(clock, current);
  let identity = current, isLooking = false;
  let told: ToldOfRoots | undefined;
  const refresh = async () => {
    const before = identity;
    identity = await store.load() ?? identity;
    const hasChanged = before.certificateChainPEM !== identity.certificateChainPEM ||
      before.rootCAPEM !== identity.rootCAPEM;
    if (hasChanged) keeper.onChanged();
  };
  /** The manager beside this agent does what was told, soon: looked for until then, or until it has had time enough. */
  const lookForIt = async () => {
    for (let tries = 0; tries < SHARED_TRIES && told && !isDone(identity, told); tries++) {
      await sleep(clock, SHARED_RETRY_MS, signal);
      await refresh().catch(() => {});
    }
  };
  const keeper: IdentityKeeper = {
    nodeID: identity.nodeID,
    get current() {
      return identity;
    },
    keys: () => store.keys(),
    refresh,
    heard(message) {
      told = message;
      if (isLooking) return;
      isLooking = true;
      void lookForIt().catch(() => {}).finally(() => isLooking = false);
    },
    // Whoever is beside this agent is told by its notes.
    refused: () => {},
    onChanged: () => {},
    stop: () => {},
  };
  return keeper;
}

/** Whether the identity is as managers say that it should be. */
function isDone(identity: NodeIdentity, { RootCA, Node: { Renewal } }: ToldOfRoots): boolean {
  return identity.rootCAPEM === RootCA &&
    (!Renewal || Renewal.Done || Renewal.Issuer === issuerDigestOf(identity));
}

/** Dials managers as this node, and takes nobody else for one. */
export function identityDialer(
  keeper: IdentityKeeper,
  clock: ClockFloor,
  traffic: TrafficCounter,
): ManagerDialer {
  const dialer = tlsDialer({
    identity: () => ({
      certificatePEM: keeper.current.certificateChainPEM,
      privateKeyPEM: keeper.current.privateKeyPEM,
    }),
    verifyPeer: (chain) => verifyManager(chain, keeper.current, clock),
    clock,
    traffic,
  });
  const issuers = new WeakMap<ManagerConnection, string | undefined>();
  return {
    async dial(address, options) {
      await keeper.refresh();
      traffic.connected();
      const issuer = issuerDigestOf(keeper.current);
      const connection = await dialer.dial(address, options);
      issuers.set(connection, issuer);
      return connection;
    },
    isOutdated: (connection) => issuers.get(connection) !== issuerDigestOf(keeper.current),
  };
}

function verifyManager(chain: string | undefined, own: NodeIdentity, clock: ClockFloor): PeerIdentity {
  const peer = verifyPeerChain(chain ?? "", {
    roots: [own.rootCAPEM],
    now: clock.now(),
    clusterID: own.clusterID,
    allowNotYetValid: true,
  });
  if (peer.role !== "swarm-manager") {
    throw new CoveyError(
      "permission_denied",
      `Cannot trust node ${peer.nodeID} as a manager: it is a worker`,
    );
  }
  clock.observe(peer.notBefore);
  return peer;
}

/** What the pinned root and the node's own certificate prove to have passed. */
function learnTime(clock: ClockFloor, identity: NodeIdentity): void {
  clock.seed(readCertificate(identity.rootCAPEM));
  clock.observe(identity.notBefore);
}
