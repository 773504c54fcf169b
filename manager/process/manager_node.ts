/** The node that a manager's process is: alone, a manager of its cluster, or a worker of somebody else's. */
import { getLogger } from "@logtape/logtape";
import type { RestoreParameters, RestoreResponse } from "../../api/backup.ts";
import { deepEqual } from "../../api/deep_equal.ts";
import { CoveyError } from "../../api/errors.ts";
import { newID } from "../../api/random.ts";
import { IdentityStore, ManagerKeys, systemFileSystem } from "../../security/mod.ts";
import { restoreFolder } from "../backup/mod.ts";
import type {
  InitRequest,
  JoinRequest,
  LocalNodeState,
  ManagerHandle,
  NodeLifecycle,
} from "../http/lifecycle.ts";
import {
  followMachine,
  hostOf,
  movedAddresses,
  namesAddress,
  type OwnAddresses,
  requestedAddresses,
} from "./addresses.ts";
import { changeClusterSpec, createCluster } from "../cluster/new_cluster.ts";
import { Joining } from "./joining.ts";
import type { NodeContext } from "./node_context.ts";
import { Moves } from "./moves.ts";
import { NodeLife } from "./node_life.ts";
import { MembershipFile, type NodeMembership } from "./membership_file.ts";
import {
  alreadyInSwarm,
  forcedByWorker,
  leavingAsManager,
  notInSwarm,
  notLocked,
  swarmLocked,
  wrongUnlockKey,
} from "./refusals.ts";
import { RoleChanges } from "./role_changes.ts";
import { RunningManager } from "../server/running_manager.ts";
import { RunningNode } from "./running_node.ts";
import { Vault } from "./vault.ts";

const logger = getLogger(["covey", "node"]);

/** One node; calls that change its membership run one after another. */
export class ManagerNode implements NodeLifecycle {
  readonly #context: NodeContext;
  readonly #state: MembershipFile;
  readonly #identities: IdentityStore;
  readonly #vault: Vault;
  readonly #life = new NodeLife();
  readonly #running: RunningNode;
  readonly #joining: Joining;
  readonly #moves: Moves;

  constructor(context: NodeContext) {
    this.#context = context;
    this.#state = new MembershipFile(context.options.stateDir);
    const { stateDir } = context.options;
    this.#identities = new IdentityStore(systemFileSystem, stateDir);
    this.#vault = new Vault(new ManagerKeys(systemFileSystem, stateDir), this.#identities);
    this.#running = new RunningNode(context, this.#identities, this.#vault, {
      role: (role) => {
        if (role === "manager") void roles.promote();
      },
      removed: (manager) => void roles.demote(manager),
    });
    const parts = {
      context,
      life: this.#life,
      running: this.#running,
      state: this.#state,
      identities: this.#identities,
      vault: this.#vault,
    };
    const roles = new RoleChanges(parts);
    this.#moves = new Moves(parts, async (membership) => {
      await this.#resume(membership);
    });
    this.#joining = new Joining(parts);
  }

  get state(): LocalNodeState {
    return this.#life.phase;
  }

  get error(): string {
    return this.#life.error;
  }

  get nodeID(): string {
    const { phase, membership } = this.#life;
    // As Docker: a locked node tells its address, and nothing of its cluster.
    return phase === "locked" ? "" : membership?.nodeID ?? "";
  }

  get nodeAddr(): string {
    const { membership } = this.#life;
    return membership ? hostOf(membership.advertise) : "";
  }

  get hasAgent(): boolean {
    return this.#context.options.agent;
  }

  get remoteManagers(): { NodeID: string; Addr: string }[] {
    return this.#life.phase === "locked" ? [] : this.#running.remoteManagers(this.#life.membership);
  }

  get manager(): ManagerHandle | undefined {
    // A manager that is being started or still joins cannot answer yet.
    const { phase, membership } = this.#life;
    return phase === "active" && membership?.role === "manager" ? this.#running.manager : undefined;
  }

  /** Goes on where the state folder says, or does what the flags say on an empty one. */
  async open(): Promise<void> {
    const { options } = this.#context;
    this.#moves.start();
    const membership = await this.#state.load();
    if (membership) {
      await this.#enter(async () => {
        const moved = await this.#moved(membership);
        // The membership is known before anything else starts, so that one can leave even if the rest waits for ever.
        this.#life.waits(moved, "Starts");
        if (await this.#vault.load()) {
          logger.warn("This manager is locked, and waits for `covey swarm unlock`");
          return this.#life.locked(moved);
        }
        await this.#resume(moved);
      });
    } else if (options.join.length > 0) {
      const goesOn = await this.#join({ RemoteAddrs: options.join, JoinToken: options.token! });
      if (goesOn) logger.warn("{message}", { message: goesOn.message });
    } else if (!options.idle) await this.init({});
  }

  init(request: InitRequest): Promise<string> {
    if (request.ForceNewCluster && this.#life.membership) return this.#forceNewCluster(request);
    return this.#enter(async () => {
      const addresses = this.#addresses(request);
      const { random } = this.#context;
      const membership: NodeMembership = {
        nodeID: newID(random),
        clusterID: newID(random),
        role: "manager",
        ...addresses,
        managers: [addresses.advertise],
        availability: request.Availability ?? "active",
      };
      await this.#state.checkVacant();
      return await this.#orWipe(async () => {
        await this.#state.save(membership);
        const { store } = await this.#running.openManager(membership);
        await createCluster(store, membership, request.Spec ?? {}, this.#context, request);
        await this.#serve(membership);
        return membership.nodeID;
      });
    });
  }

  /** Goes on as the only manager of the cluster, with all of its state, after the others were lost for good. */
  #forceNewCluster(request: InitRequest): Promise<string> {
    return this.#life.enqueue(async () => {
      const before = this.#life.membership!;
      if (this.#life.phase === "locked") throw swarmLocked();
      if (before.role !== "manager") {
        throw forcedByWorker();
      }
      const membership = { ...before, ...(namesAddress(request) && this.#addresses(request)), managers: [] };
      await this.#running.halt({ leave: false });
      await this.#state.save(membership);
      const { store } = await this.#running.openManager(membership, { forceNewCluster: true });
      if (request.Spec) await changeClusterSpec(store, request.Spec, this.#context.random);
      await this.#serve(membership);
      logger.warn("Node {nodeID} is now the only manager", { nodeID: membership.nodeID });
      return membership.nodeID;
    });
  }

  /** See {@linkcode NodeLifecycle.unlock}. */
  unlock(key: string): Promise<void> {
    const life = this.#life;
    return life.enqueue(async () => {
      const { membership, phase } = life;
      if (phase !== "locked" || !membership) throw notLocked();
      if (!await this.#vault.unlock(key)) throw wrongUnlockKey();
      life.waits(membership, "Starts");
      try {
        await this.#resume(membership);
      } catch (thrown) {
        if (life.signal.aborted) throw thrown;
        // What is in the way may pass, such as another program on the port: the key can be given again.
        await this.#running.halt({ leave: false });
        life.locked(membership);
        throw thrown;
      }
    });
  }

  async join(request: JoinRequest): Promise<void> {
    const goesOn = await this.#join(request);
    if (goesOn) throw goesOn;
  }

  #join(request: JoinRequest): Promise<CoveyError | undefined> {
    return this.#enter(() => this.#joining.join(request));
  }

  restore(backup: AsyncIterable<Uint8Array>, request: RestoreParameters): Promise<RestoreResponse> {
    return this.#enter(async () => {
      const { options: { stateDir }, random, clock, answer } = this.#context;
      const { listen, advertise } = this.#addresses(request);
      let hasKeys = false;
      const open = async (raftDir: string, nodeID: string) => {
        hasKeys = true;
        const dataKeys = await this.#vault.dataKeys();
        return await RunningManager.open({
          raftDir,
          dataKeys,
          nodeID,
          listen,
          advertise,
          clock,
          random,
          answer,
        });
      };
      const restored = await restoreFolder({ stateDir, backup, open, clock, random }).catch(
        async (thrown) => {
          if (hasKeys) await this.#wipe();
          throw thrown;
        },
      );
      await this.#orWipe(async () => {
        const { NodeID: nodeID, ClusterID: clusterID } = restored;
        const managers = [advertise];
        const role = "manager", availability = "active";
        const membership: NodeMembership = {
          nodeID,
          clusterID,
          role,
          listen,
          advertise,
          managers,
          availability,
        };
        await this.#state.save(membership);
        await this.#resume(membership);
      });
      return { ...restored, Addr: advertise };
    });
  }

  async leave(force: boolean): Promise<void> {
    if (!this.#life.membership && !this.#joining.asks) throw notInSwarm();
    if (this.#running.manager && !force) {
      throw leavingAsManager();
    }
    this.#life.abort();
    await this.#life.enqueue(async () => {
      this.#life.resume();
      await this.#leaveQuorum(force);
      await this.#running.halt({ leave: true });
      await this.#wipe();
      this.#life.left();
    });
  }

  /** Leaves the other managers in order; with `force` it does not matter if they cannot let this one go. */
  async #leaveQuorum(force: boolean): Promise<void> {
    const { membership } = this.#life, consensus = this.#running.manager?.consensus;
    if (!membership || !consensus) return;
    const joins = membership.joined === true && !consensus.isVoter;
    if (!joins && consensus.status().members.length < 2) return;
    try {
      await consensus.leave(joins ? { through: membership.managers, withdraw: true } : {});
    } catch (thrown) {
      if (!force) throw thrown;
      logger.warn("Left without the other managers: {message}", { message: (thrown as Error).message });
    }
  }

  /** Ends this process's part; the membership stays for the next start. */
  close(): Promise<void> {
    this.#moves.stop();
    this.#life.abort();
    return this.#life.enqueue(() => this.#running.halt({ leave: false }));
  }

  /** Runs what founds a cluster; a failure leaves nothing that would be in the way of the next attempt. */
  async #orWipe<R>(work: () => Promise<R>): Promise<R> {
    try {
      return await work();
    } catch (thrown) {
      await this.#running.halt({ leave: false });
      await this.#wipe();
      throw thrown;
    }
  }

  /** Forgets the cluster, on disk and here. */
  async #wipe(): Promise<void> {
    await this.#state.wipe();
    await this.#vault.forget();
  }

  /** Runs `work` unless the node is in a cluster; a failure leaves the node as it was before. */
  #enter<R>(work: () => Promise<R>): Promise<R> {
    const life = this.#life;
    return life.enqueue(async () => {
      if (life.phase === "active" || life.phase === "pending") {
        throw alreadyInSwarm();
      }
      life.phase = "pending";
      try {
        return await work();
      } catch (thrown) {
        // Where the wait was aborted, leave() or close() also halts what runs: leaving needs a member that still answers.
        if (!life.signal.aborted) await this.#running.halt({ leave: false });
        life.failed((thrown as Error).message);
        throw thrown;
      }
    });
  }

  async #resume(membership: NodeMembership): Promise<void> {
    if (membership.role === "worker") {
      await this.#vault.takeOff();
      await this.#running.work(membership);
      return this.#life.arrived(membership);
    }
    const manager = await this.#running.openManager(membership);
    await this.#checkState(manager, membership);
    await this.#serve(membership);
  }

  /** Serves as the manager that was opened. */
  async #serve(membership: NodeMembership): Promise<void> {
    await this.#running.listen(membership);
    if (membership.joined) return await this.#joining.resume(membership);
    await this.#running.attend(membership);
    this.#life.arrived(membership);
  }

  /** A leader without a cluster has lost its state, unless its first start was cut short before anything was acknowledged. */
  async #checkState(manager: RunningManager, membership: NodeMembership): Promise<void> {
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

  /** The membership at the addresses that the flags of this start name, and that the machine has; a node may move. */
  async #moved(membership: NodeMembership): Promise<NodeMembership> {
    const { options, interfaces } = this.#context;
    const named = { ...membership, ...movedAddresses(membership, options, interfaces) };
    const addresses = followMachine(named, interfaces()), { advertise } = addresses;
    const moved: NodeMembership = { ...membership, ...addresses };
    if (deepEqual(moved, membership)) return membership;
    if (membership.role === "manager" && membership.managers.join() === membership.advertise) {
      moved.managers = [advertise];
    }
    await this.#state.save(moved);
    return moved;
  }

  #addresses(request: { ListenAddr?: string; AdvertiseAddr?: string; DataPathAddr?: string }): OwnAddresses {
    const { options, interfaces } = this.#context;
    return requestedAddresses(request, options, interfaces());
  }
}
