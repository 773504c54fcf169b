/** What runs on a node in a cluster: the manager if it is one, the agent beside it, the renewal of its certificate. */
import { getLogger } from "@logtape/logtape";
import { inWords } from "../../api/duration.ts";
import { CoveyError } from "../../api/errors.ts";
import {
  createCertificateRequest,
  type IdentityStore,
  issuerDigestOf,
  type NodeIdentity,
  nodeTLSInfo,
  RemoteCA,
  Renewer,
  renewLate,
} from "../../security/mod.ts";
import { isForeign } from "./addresses.ts";
import { clusterOf } from "../cluster/cluster_object.ts";
import { AgentNotes, type RootsNote } from "./agent_notes.ts";
import { describeSelf } from "./self_description.ts";
import type { NodeDescription } from "../../api/node.ts";
import { agentArguments, AgentProcess } from "./agent_process.ts";
import type { NodeContext } from "./node_context.ts";
import type { NodeMembership } from "./membership_file.ts";
import { isLastResort, issueOwnIdentity, maySignOwn, recordOwn } from "./own_identity.ts";
import { RunningManager } from "../server/running_manager.ts";
import type { Vault } from "./vault.ts";

const logger = getLogger(["covey", "node"]);

const FOREIGN =
  "{advertise} is no address of this machine: if it has moved, start it with its new --advertise";

/** What a running node tells; later, never within a call. */
export interface RunningNodeHooks {
  /** The cluster wants this worker in another role. */
  role(role: string): void;
  /** The cluster has removed this manager from the quorum. */
  removed(manager: RunningManager): void;
}

/** Starts and ends these parts. One call at a time; {@linkcode halt} takes back whatever was started, also half of it. */
export class RunningNode {
  readonly #context: NodeContext;
  readonly #identities: IdentityStore;
  readonly #vault: Vault;
  readonly #hooks: RunningNodeHooks;
  #manager: RunningManager | undefined;
  #agent: AgentProcess | undefined;
  #notes: AgentNotes | undefined;
  #renewer: Renewer | undefined;
  #telling: AbortController | undefined;
  #unfollow = () => {};

  constructor(context: NodeContext, identities: IdentityStore, vault: Vault, hooks: RunningNodeHooks) {
    this.#context = context;
    this.#identities = identities;
    this.#vault = vault;
    this.#hooks = hooks;
  }

  /** The manager, also while it is being started or joins. */
  get manager(): RunningManager | undefined {
    return this.#manager;
  }

  /** The managers that this one knows of, or of a worker those it joined through. */
  remoteManagers(membership: NodeMembership | undefined): { NodeID: string; Addr: string }[] {
    if (this.#manager) {
      return this.#manager.consensus.status().members.map(({ nodeID, address }) => ({
        NodeID: nodeID,
        Addr: address,
      }));
    }
    return (membership?.managers ?? []).map((Addr) => ({ NodeID: "", Addr }));
  }

  /** What the agent last heard, or what the node joined through. */
  knownManagers({ managers }: NodeMembership): string[] {
    const heard = this.#notes?.managers ?? [];
    return heard.length > 0 ? [...heard] : managers;
  }

  /** This node's certificate and key. Throws `data_loss` without one. */
  async requireIdentity({ nodeID }: NodeMembership): Promise<NodeIdentity> {
    const identity = await this.#identities.load();
    if (identity) return identity;
    throw new CoveyError("data_loss", `Cannot resume node ${nodeID}: its certificate is missing`);
  }

  /** Loads the manager's state; nobody is served yet. */
  async openManager(
    membership: NodeMembership,
    how: { forceNewCluster?: boolean } = {},
  ): Promise<RunningManager> {
    const { options, clock, random, answer, onFatal } = this.#context;
    const { nodeID, listen, advertise, joined } = membership;
    const identity = await this.#identities.load();
    const manager = await RunningManager.open({
      raftDir: `${options.stateDir}/raft`,
      dataKeys: await this.#vault.dataKeys(),
      nodeID,
      listen,
      advertise,
      clock,
      random,
      answer,
      ...(joined && { join: true }),
      skip: options.skip,
      ...(identity && { identity }),
      ...how,
    });
    this.#manager = manager;
    void manager.consensus.failed.then(onFatal);
    void manager.consensus.removed.then(() => this.#hooks.removed(manager));
    return manager;
  }

  /**
   * Listens with the certificate on disk. Where a first start was cut short before there was one, or it expired while this
   * manager was off, the manager signs one for itself.
   */
  async listen(membership: NodeMembership): Promise<void> {
    const manager = this.#manager!;
    const identity = await this.#identities.load();
    const valid = identity && this.#context.clock.now() <= identity.notAfter
      ? identity
      : await this.#signOwn(membership, identity);
    await manager.serve(valid);
  }

  /** A certificate of this manager's own making, or of the others' where its state does not say yet that it is a manager. */
  async #signOwn(
    { nodeID, managers }: NodeMembership,
    expired: NodeIdentity | undefined,
  ): Promise<NodeIdentity> {
    const { clock, options: { token } } = this.#context;
    const { store, consensus } = this.#manager!;
    const privateKeyPEM = await this.#identities.pendingKey();
    if (expired && !maySignOwn(store, nodeID)) {
      const ca = new RemoteCA({ addresses: () => managers, clock });
      const late = {
        ca,
        clock,
        identity: expired,
        token,
        pendingKeyPEM: () => this.#identities.pendingKey(),
      };
      const csr = await createCertificateRequest(privateKeyPEM);
      return await renewLate(late, csr, new AbortController().signal).then(
        (certificateChainPEM) =>
          this.#identities.save({ rootCAPEM: expired.rootCAPEM, certificateChainPEM, privateKeyPEM }),
        ({ message }) => {
          logger.warn("The certificate has expired, and nobody renews it: {message}", { message });
          return expired;
        },
      );
    }
    const identity = await this.#identities.save(
      await issueOwnIdentity(this.#manager!.cluster, nodeID, privateKeyPEM, this.#context),
    );
    if (expired) logger.warn("The certificate had expired: manager {nodeID} has signed its own", { nodeID });
    if (consensus.status().isLeader) await recordOwn(store, identity, clock);
    return identity;
  }

  /** A manager that listens and votes: the rest of what it does. */
  async attend(membership: NodeMembership): Promise<void> {
    const { nodeID, advertise, dataPath } = membership;
    const others = () => this.remoteManagers(membership).map(({ Addr }) => Addr);
    this.#renew(await this.requireIdentity(membership), () => [advertise, ...others()]);
    this.#followRoots(this.#manager!);
    await this.#vault.follow(this.#manager!, {
      resealed: () => this.#agent?.useIdentityKey(this.#vault.identityKey),
      locked: () => this.#renewer?.renewNow(),
      failed: this.#context.onFatal,
    });
    this.#startAgent([advertise], dataPath);
    logger.info("Manager {nodeID} serves at {advertise}", { nodeID, advertise });
    if (isForeign(advertise, this.#context.interfaces())) logger.warn(FOREIGN, { advertise });
  }

  /** Runs a worker. */
  async work(membership: NodeMembership): Promise<void> {
    const { options, clock } = this.#context;
    const identity = await this.requireIdentity(membership);
    this.#notes = new AgentNotes(`${options.stateDir}/agent`, clock, {
      role: (role) => this.#hooks.role(role),
      roots: (note) => this.#heard(note),
    });
    this.#renew(identity, () => this.knownManagers(membership));
    this.#startAgent(membership.managers, membership.dataPath);
    await this.#notes.start();
  }

  /** Stops everything that runs. With `leave` the agent removes its tasks first. */
  async halt({ leave }: { leave: boolean }): Promise<void> {
    this.#notes?.stop();
    this.#unfollow();
    this.#renewer?.stop();
    this.#telling?.abort();
    await this.#vault.stop();
    await this.#agent?.stop({ leave });
    await this.#manager?.stop();
    this.#renewer =
      this.#agent =
      this.#manager =
      this.#notes =
        undefined;
  }

  #renew(identity: NodeIdentity, managers: () => string[]): void {
    const { clock, random } = this.#context;
    const ca = new RemoteCA({ addresses: managers, clock });
    const renewer: Renewer = new Renewer({
      clock,
      random,
      store: this.#identities,
      identity,
      renew: (csr, signal) => this.#renewedChain(ca, renewer.identity, csr, signal),
      onRenewed: (renewed) => {
        this.#manager?.useIdentity(renewed);
        if (this.#telling) this.#describeSelf();
      },
      onFailure: ({ message }, retryMs) =>
        logger.warn("Cannot renew the certificate, next try in {pause}: {message}", {
          message,
          pause: inWords(retryMs),
        }),
    });
    this.#renewer = renewer;
    renewer.start();
  }

  /** A manager hears of roots by its own state. */
  #followRoots({ store, nodeID }: RunningManager): void {
    const follow = () => {
      const cluster = clusterOf(store), Renewal = store.get("nodes", nodeID)?.Renewal;
      const asked = Renewal && !Renewal.Done && { Issuer: Renewal.Issuer };
      if (cluster) this.#heard({ RootCA: cluster.RootCA.CACert, ...asked });
    };
    this.#unfollow = store.subscribe(({ changes }) => {
      if (changes.some(({ table, object }) => table === "clusters" || object.ID === nodeID)) follow();
    });
    follow();
  }

  #heard({ RootCA, Issuer }: RootsNote): void {
    const renewer = this.#renewer;
    if (!renewer) return;
    if (RootCA !== "" && RootCA !== renewer.identity.rootCAPEM) renewer.trust(RootCA);
    if (Issuer !== undefined && Issuer !== issuerDigestOf(renewer.identity)) renewer.renewNow();
  }

  /** The CA's certificate for `csr`; when time runs out and nobody issues one, a manager's own. */
  async #renewedChain(
    ca: RemoteCA,
    identity: NodeIdentity,
    csr: string,
    signal: AbortSignal,
  ): Promise<string> {
    const { clock, options: { token } } = this.#context;
    const pendingKeyPEM = () => this.#identities.pendingKey();
    try {
      return await renewLate({ ca, clock, identity, token, pendingKeyPEM }, csr, signal);
    } catch (thrown) {
      const manager = this.#manager;
      if (signal.aborted || !manager || !maySignOwn(manager.store, identity.nodeID)) throw thrown;
      if (!isLastResort(identity, clock.now())) throw thrown;
      logger.warn("Manager {nodeID} signs its own certificate, which nobody renews: {message}", {
        nodeID: identity.nodeID,
        message: CoveyError.from(thrown).message,
      });
      const own = await issueOwnIdentity(
        manager.cluster,
        identity.nodeID,
        await pendingKeyPEM(),
        this.#context,
      );
      return own.certificateChainPEM;
    }
  }

  #describeSelf(): void {
    const manager = this.#manager, { options, clock, answer, version, hostname } = this.#context;
    if (manager === undefined) return;
    this.#telling?.abort();
    this.#telling = new AbortController();
    const description: NodeDescription = {
      Hostname: options.hostname ?? hostname(),
      Platform: { OS: Deno.build.os, Architecture: Deno.build.arch },
      Resources: {},
      Engine: { EngineVersion: version },
      Runtimes: [],
      ManagerOnly: true,
      ...(this.#renewer && { TLSInfo: nodeTLSInfo(this.#renewer.identity) }),
    };
    void describeSelf({ clock, manager, description, answer }, this.#telling.signal);
  }

  #startAgent(managers: string[], dataPath: string | undefined): void {
    const { options, clock, agentLauncher, agentEnv } = this.#context;
    if (!options.agent) return this.#describeSelf();
    const args = agentArguments(options, managers, dataPath);
    const { identityKey } = this.#vault;
    this.#agent = new AgentProcess({ launcher: agentLauncher, args, env: agentEnv, clock, identityKey });
    this.#agent.start();
  }
}
