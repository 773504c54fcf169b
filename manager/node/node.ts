/** The node that a manager's process is: alone, a manager of its cluster, or a worker of somebody else's. */
import { getLogger } from "@logtape/logtape";
import type { RestoreParameters, RestoreResponse } from "../../api/backup.ts";
import { type Clock, sleep } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import { newID, type Random } from "../../api/random.ts";
import {
  IdentityStore,
  joinCluster,
  type NodeIdentity,
  RemoteCA,
  Renewer,
  systemFileSystem,
} from "../../security/mod.ts";
import { restoreFolder } from "../backup/mod.ts";
import type { InitRequest, JoinRequest, LocalNodeState, ManagerHandle, NodeLifecycle } from "../lifecycle.ts";
import { DEFAULT_LISTEN, type ManagerOptions, withPort } from "../options.ts";
import { advertiseAddress, hostOf, namesAddress } from "./addresses.ts";
import { createCluster } from "./bootstrap.ts";
import { issueOwnIdentity } from "./own_identity.ts";
import { AgentNotes } from "./agent_notes.ts";
import { agentArguments, AgentProcess } from "./agent_process.ts";
import { type Membership, NodeState } from "./node_state.ts";
import { alreadyInSwarm, forcedByWorker, leavingAsManager, notInSwarm } from "./refusals.ts";
import { renewAs } from "./renew_as.ts";
import { RunningManager } from "./running_manager.ts";

/** Pause before a worker that shall be a manager, but could not join the quorum, tries again. */
const PROMOTION_RETRY_MS = 5_000;

const logger = getLogger(["covey", "node"]);

/** What the node works with. */
export interface NodeContext {
  options: ManagerOptions;
  clock: Clock;
  random: Random;
  /** The control API's answer to what another manager handed on. */
  answer: (request: Request) => Response | Promise<Response>;
  /** Path of the agent's launcher. */
  agentLauncher: string;
  agentEnv: Record<string, string>;
  interfaces: () => { name: string; family: string; address: string }[];
  /** The state cannot be trusted any more: the process must end. */
  onFatal: (error: Error) => void;
}

/** One node; calls that change its membership run one after another. */
export class ManagerNode implements NodeLifecycle {
  readonly #context: NodeContext;
  readonly #state: NodeState;
  readonly #identities: IdentityStore;
  #membership: Membership | undefined;
  #manager: RunningManager | undefined;
  #agent: AgentProcess | undefined;
  #notes: AgentNotes | undefined;
  /** Ends what waits for other managers: the node leaves, or its process ends. */
  #abort = new AbortController();
  #renewer: Renewer | undefined;
  #busy: Promise<unknown> = Promise.resolve();
  #phase: LocalNodeState = "inactive";
  #error = "";

  constructor(context: NodeContext) {
    this.#context = context;
    this.#state = new NodeState(context.options.stateDir);
    this.#identities = new IdentityStore(systemFileSystem, context.options.stateDir);
  }

  get state(): LocalNodeState {
    return this.#phase;
  }

  get error(): string {
    return this.#error;
  }

  get nodeID(): string {
    return this.#membership?.nodeID ?? "";
  }

  get nodeAddr(): string {
    return this.#membership ? hostOf(this.#membership.advertise) : "";
  }

  get remoteManagers(): { NodeID: string; Addr: string }[] {
    if (this.#manager) {
      return this.#manager.consensus.status().members.map(({ nodeID, address }) => ({
        NodeID: nodeID,
        Addr: address,
      }));
    }
    return (this.#membership?.managers ?? []).map((Addr) => ({ NodeID: "", Addr }));
  }

  get manager(): ManagerHandle | undefined {
    // One that is being started or still joins is not of use yet.
    return this.#membership?.role === "manager" ? this.#manager : undefined;
  }

  /** Goes on where the state folder says, or does what the flags say on an empty one. */
  async open(): Promise<void> {
    const { options } = this.#context;
    const membership = await this.#state.load();
    if (membership) await this.#enter(async () => this.#resume(await this.#moved(membership)));
    else if (options.join.length > 0) {
      await this.join({ RemoteAddrs: options.join, JoinToken: options.token! });
    } else if (!options.idle) await this.init({});
  }

  init(request: InitRequest): Promise<string> {
    if (request.ForceNewCluster && this.#membership) return this.#forceNewCluster(request);
    return this.#enter(async () => {
      const { listen, advertise } = this.#addresses(request);
      const { random } = this.#context;
      const membership: Membership = {
        nodeID: newID(random),
        clusterID: newID(random),
        role: "manager",
        listen,
        advertise,
        managers: [advertise],
        availability: request.Availability ?? "active",
      };
      await this.#state.checkVacant();
      return await this.#orWipe(async () => {
        await this.#state.save(membership);
        const { store } = await this.#openManager(membership);
        await createCluster(store, membership, request.Spec ?? {}, this.#context);
        await this.#serve(membership);
        return membership.nodeID;
      });
    });
  }

  /** Goes on as the only manager of the cluster, with all of its state, after the others were lost for good. */
  #forceNewCluster(request: InitRequest): Promise<string> {
    return this.#enqueue(async () => {
      const before = this.#membership!;
      if (before.role !== "manager") {
        throw forcedByWorker();
      }
      const membership = { ...before, ...(namesAddress(request) && this.#addresses(request)), managers: [] };
      await this.#halt({ leave: false });
      await this.#state.save(membership);
      await this.#openManager(membership, { forceNewCluster: true });
      await this.#serve(membership);
      this.#phase = "active";
      this.#error = "";
      logger.warn("Node {nodeID} is now the only manager", { nodeID: membership.nodeID });
      return membership.nodeID;
    });
  }

  join(request: JoinRequest): Promise<void> {
    return this.#enter(async () => {
      const { clock } = this.#context;
      const addresses = this.#addresses(request);
      await this.#state.checkVacant();
      const managers = request.RemoteAddrs.map((address) => withPort(address));
      const ca = new RemoteCA({ addresses: () => managers, clock });
      const identity = await joinCluster({
        token: request.JoinToken,
        privateKeyPEM: await this.#identities.pendingKey(),
        availability: request.Availability ?? "active",
        clock,
        getRootCA: () => ca.getRootCA(),
        issueNodeCertificate: (issue, root) => ca.issueNodeCertificate(issue, root),
      });
      const membership: Membership = {
        nodeID: identity.nodeID,
        clusterID: identity.clusterID,
        ...(identity.role === "swarm-manager" ? { role: "manager", joined: true } : { role: "worker" }),
        ...addresses,
        managers,
        availability: request.Availability ?? "active",
      };
      await this.#orWipe(async () => {
        await this.#identities.save(identity);
        await this.#state.save(membership);
        await this.#resume(membership);
      });
    });
  }

  restore(backup: AsyncIterable<Uint8Array>, request: RestoreParameters): Promise<RestoreResponse> {
    return this.#enter(async () => {
      const { options: { stateDir }, random, clock, answer } = this.#context;
      const { listen, advertise } = this.#addresses(request);
      const open = (raftDir: string, nodeID: string) =>
        RunningManager.open({ raftDir, nodeID, listen, advertise, clock, random, answer });
      const restored = await restoreFolder({ stateDir, backup, open, clock, random });
      await this.#orWipe(async () => {
        const { NodeID: nodeID, ClusterID: clusterID } = restored;
        const managers = [advertise];
        const role = "manager", availability = "active";
        const membership: Membership = { nodeID, clusterID, role, listen, advertise, managers, availability };
        await this.#state.save(membership);
        await this.#resume(membership);
      });
      return { ...restored, Addr: advertise };
    });
  }

  async leave(force: boolean): Promise<void> {
    if (!this.#membership) throw notInSwarm();
    if (this.#manager && !force) {
      throw leavingAsManager();
    }
    this.#abort.abort();
    await this.#enqueue(async () => {
      this.#abort = new AbortController();
      await this.#leaveQuorum(force);
      await this.#halt({ leave: true });
      await this.#state.wipe();
      this.#membership = undefined;
      this.#phase = "inactive";
    });
  }

  /** Leaves the other managers in order; with `force` it does not matter if they cannot let this one go. */
  async #leaveQuorum(force: boolean): Promise<void> {
    const manager = this.#manager;
    if (!manager || manager.consensus.status().members.length < 2) return;
    try {
      await manager.consensus.leave();
    } catch (thrown) {
      if (!force) throw thrown;
      logger.warn("Left without the other managers: {message}", { message: (thrown as Error).message });
    }
  }

  /** Ends this process's part; the membership stays for the next start. */
  close(): Promise<void> {
    this.#abort.abort();
    return this.#enqueue(() => this.#halt({ leave: false }));
  }

  /** Runs what founds or joins a cluster; a failure leaves nothing that would be in the way of the next attempt. */
  async #orWipe<R>(work: () => Promise<R>): Promise<R> {
    try {
      return await work();
    } catch (thrown) {
      await this.#halt({ leave: false });
      await this.#state.wipe();
      throw thrown;
    }
  }

  /** Runs `work` unless the node is in a cluster; a failure leaves the node as it was before. */
  #enter<R>(work: () => Promise<R>): Promise<R> {
    return this.#enqueue(async () => {
      if (this.#phase === "active" || this.#phase === "pending") {
        throw alreadyInSwarm();
      }
      this.#phase = "pending";
      try {
        const result = await work();
        this.#phase = "active";
        this.#error = "";
        return result;
      } catch (thrown) {
        await this.#halt({ leave: false });
        this.#phase = this.#membership ? "error" : "inactive";
        this.#error = (thrown as Error).message;
        throw thrown;
      }
    });
  }

  #enqueue<R>(work: () => Promise<R>): Promise<R> {
    const run = this.#busy.then(work);
    this.#busy = run.catch(() => {});
    return run;
  }

  async #resume(membership: Membership): Promise<void> {
    if (membership.role === "manager") {
      const manager = await this.#openManager(membership);
      await this.#checkState(manager, membership);
      await this.#serve(membership);
      return;
    }
    const identity = await this.#requireIdentity(membership);
    const notes = new AgentNotes(`${this.#context.options.stateDir}/agent`, this.#context.clock, (role) => {
      if (role === "manager") void this.#promote();
    });
    this.#notes = notes;
    this.#renew(identity, () => this.#knownManagers(membership));
    this.#startAgent(membership.managers);
    this.#membership = membership;
    await notes.start();
  }

  /** A leader without a cluster has lost its state, unless its first start was cut short before anything was acknowledged. */
  async #checkState(manager: RunningManager, membership: Membership): Promise<void> {
    if (manager.store.count("clusters") > 0 || !manager.consensus.status().isLeader) return;
    if (await this.#identities.load() === undefined) {
      return await createCluster(manager.store, membership, {}, this.#context);
    }
    const { stateDir } = this.#context.options;
    throw new CoveyError(
      "data_loss",
      `Cannot resume from ${stateDir}/raft: the cluster's state is missing; bring it back, or remove ${stateDir} to start anew`,
    );
  }

  /** What the agent last heard, or what the node joined through. */
  #knownManagers({ managers }: Membership): string[] {
    const heard = this.#notes?.managers ?? [];
    return heard.length > 0 ? [...heard] : managers;
  }

  async #requireIdentity({ nodeID }: Membership): Promise<NodeIdentity> {
    const identity = await this.#identities.load();
    if (identity) return identity;
    throw new CoveyError("data_loss", `Cannot resume node ${nodeID}: its certificate is missing`);
  }

  async #openManager(
    membership: Membership,
    how: { forceNewCluster?: boolean } = {},
  ): Promise<RunningManager> {
    const { options, clock, random, answer, onFatal } = this.#context;
    const { nodeID, listen, advertise, joined } = membership;
    const identity = await this.#identities.load();
    const manager = await RunningManager.open({
      raftDir: `${options.stateDir}/raft`,
      ...{ nodeID, listen, advertise, clock, random, answer },
      ...(joined && { join: true }),
      ...(identity && { identity }),
      ...how,
    });
    this.#manager = manager;
    void manager.consensus.failed.then(onFatal);
    void manager.consensus.removed.then(() => this.#demote(manager));
    return manager;
  }

  /** A manager of the cluster now: this worker joins the quorum, and goes on as a worker where that fails. */
  async #promote(): Promise<void> {
    await this.#enqueue(async () => {
      const before = this.#membership;
      const { signal } = this.#abort;
      if (signal.aborted || before?.role !== "worker") return;
      const managers = this.#knownManagers(before);
      const membership: Membership = { ...before, managers, role: "manager", joined: true };
      try {
        const identity = await this.#renewAs("manager", managers);
        await this.#halt({ leave: false });
        logger.info("Node {nodeID} becomes a manager", { nodeID: identity.nodeID });
        await this.#openManager(membership);
        await this.#serve(membership);
        await this.#state.save(membership);
      } catch (thrown) {
        if (signal.aborted) return;
        logger.warn("Cannot become a manager yet: {message}", { message: (thrown as Error).message });
        await this.#halt({ leave: false });
        await this.#resume(before);
        sleep(this.#context.clock, PROMOTION_RETRY_MS, signal).then(() => this.#promote(), () => {});
      }
    });
  }

  /** The cluster has removed this manager: it goes on as a worker if it was demoted, and stops otherwise. */
  #demote(manager: RunningManager): Promise<void> {
    return this.#enqueue(async () => {
      const before = this.#membership;
      if (this.#manager !== manager || !before) return;
      const managers = this.remoteManagers.filter(({ NodeID }) => NodeID !== before.nodeID)
        .map(({ Addr }) => Addr);
      this.#phase = "pending";
      this.#error = "This manager was removed from the cluster";
      logger.warn("Node {nodeID} was removed from the managers", { nodeID: before.nodeID });
      await this.#halt({ leave: false });
      const membership: Membership = { ...before, managers, role: "worker", joined: false };
      try {
        await this.#renewAs("worker", managers);
        await this.#state.wipeRaft();
        await this.#state.save(membership);
        await this.#resume(membership);
        this.#phase = "active";
        this.#error = "";
      } catch (thrown) {
        this.#phase = "error";
        const why = (thrown as Error).message;
        this.#error = `This manager was removed from the cluster; leave with --force to join again (${why})`;
        logger.error("{message}", { message: this.#error });
      }
    });
  }

  async #renewAs(role: "manager" | "worker", managers: string[]): Promise<NodeIdentity> {
    const { clock } = this.#context;
    const identity = await this.#requireIdentity(this.#membership!);
    if (identity.role === `swarm-${role}`) return identity;
    const ca = new RemoteCA({ addresses: () => managers, clock });
    const { signal } = this.#abort;
    return await renewAs(role, identity, { ca, store: this.#identities, clock, signal });
  }

  /** Serves with the certificate on disk, or with one of its own making where a first start was cut short. */
  async #serve(membership: Membership): Promise<void> {
    const manager = this.#manager!;
    const identity = await this.#identities.load() ??
      await this.#identities.save(
        await issueOwnIdentity(
          manager.cluster,
          membership.nodeID,
          await this.#identities.pendingKey(),
          this.#context,
        ),
      );
    await manager.serve(identity);
    if (membership.joined && !manager.consensus.isVoter) {
      await manager.consensus.join(membership.managers, this.#abort.signal);
    }
    this.#renew(identity, () => [membership.advertise, ...this.remoteManagers.map(({ Addr }) => Addr)]);
    this.#startAgent([membership.advertise]);
    this.#membership = membership;
    logger.info("Manager {nodeID} serves at {advertise}", {
      nodeID: membership.nodeID,
      advertise: membership.advertise,
    });
  }

  #renew(identity: NodeIdentity, managers: () => string[]): void {
    const { clock, random } = this.#context;
    const ca = new RemoteCA({ addresses: managers, clock });
    const renewer: Renewer = new Renewer({
      clock,
      random,
      store: this.#identities,
      identity,
      renew: (csr, signal) => ca.renew(renewer.identity, csr, signal),
      onRenewed: (renewed) => this.#manager?.useIdentity(renewed),
      onFailure: ({ message }, retryMs) =>
        logger.warn("Cannot renew the certificate, next try in {retryMs} ms: {message}", {
          message,
          retryMs,
        }),
    });
    this.#renewer = renewer;
    renewer.start();
  }

  #startAgent(managers: string[]): void {
    const { options, clock, agentLauncher, agentEnv } = this.#context;
    if (!options.agent) return;
    const args = agentArguments(options, managers);
    this.#agent = new AgentProcess({ launcher: agentLauncher, args, env: agentEnv, clock });
    this.#agent.start();
  }

  /** Stops everything that runs. With `leave` the agent removes its tasks first. */
  async #halt({ leave }: { leave: boolean }): Promise<void> {
    this.#notes?.stop();
    this.#renewer?.stop();
    await this.#agent?.stop({ leave });
    await this.#manager?.stop();
    this.#renewer =
      this.#agent =
      this.#manager =
      this.#notes =
        undefined;
  }

  /** The membership at the addresses that the flags of this start name; a node may move. */
  async #moved(membership: Membership): Promise<Membership> {
    const { options, interfaces } = this.#context;
    const listen = options.listen ?? membership.listen;
    const stays = listen === membership.listen && !options.advertise;
    const advertise = stays
      ? membership.advertise
      : advertiseAddress(options.advertise, listen, interfaces());
    if (stays || advertise === membership.advertise && listen === membership.listen) return membership;
    const moved = { ...membership, listen, advertise };
    if (membership.role === "manager" && membership.managers.join() === membership.advertise) {
      moved.managers = [advertise];
    }
    await this.#state.save(moved);
    return moved;
  }

  #addresses(
    request: { ListenAddr?: string; AdvertiseAddr?: string },
  ): { listen: string; advertise: string } {
    const { options, interfaces } = this.#context;
    // Docker's client always sends its default; the flags of this process know better.
    const listen = !request.ListenAddr || request.ListenAddr === DEFAULT_LISTEN
      ? options.listen ?? DEFAULT_LISTEN
      : withPort(request.ListenAddr);
    const advertise = advertiseAddress(request.AdvertiseAddr || options.advertise, listen, interfaces());
    return { listen, advertise };
  }
}
