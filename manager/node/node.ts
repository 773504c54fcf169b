/** The node that a manager's process is: alone, a manager of its cluster, or a worker of somebody else's. */
import { getLogger } from "@logtape/logtape";
import type { Clock } from "../../api/clock.ts";
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
import type { InitRequest, JoinRequest, LocalNodeState, ManagerHandle, NodeLifecycle } from "../lifecycle.ts";
import { DEFAULT_LISTEN, type ManagerOptions, withPort } from "../options.ts";
import { advertiseAddress, hostOf } from "./addresses.ts";
import { firstNode, newCluster } from "./bootstrap.ts";
import { issueOwnIdentity } from "./own_identity.ts";
import { AgentProcess } from "./agent_process.ts";
import { type Membership, NodeState } from "./node_state.ts";
import { RunningManager } from "./running_manager.ts";

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
    return this.#manager;
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
    return this.#enter(async () => {
      const { listen, advertise } = this.#addresses(request);
      const { random, clock } = this.#context;
      const membership: Membership = {
        nodeID: newID(random),
        clusterID: newID(random),
        role: "manager",
        listen,
        advertise,
        managers: [advertise],
        availability: request.Availability ?? "active",
      };
      const cluster = await newCluster(membership.clusterID, request.Spec ?? {}, { clock, random });
      await this.#state.save(membership);
      const manager = await this.#openManager(membership);
      await manager.store.update((tx) => {
        tx.create("clusters", cluster);
        tx.create("nodes", firstNode(membership.nodeID, membership.availability));
      });
      await this.#serve(membership);
      return membership.nodeID;
    });
  }

  join(request: JoinRequest): Promise<void> {
    return this.#enter(async () => {
      const { clock } = this.#context;
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
      await this.#identities.save(identity);
      const membership: Membership = {
        nodeID: identity.nodeID,
        clusterID: identity.clusterID,
        role: "worker",
        ...this.#addresses(request),
        managers,
        availability: request.Availability ?? "active",
      };
      await this.#state.save(membership);
      await this.#resume(membership);
    });
  }

  async leave(force: boolean): Promise<void> {
    if (!this.#membership) throw new CoveyError("failed_precondition", "This node is not part of a swarm");
    if (this.#manager && !force) {
      throw new CoveyError(
        "failed_precondition",
        "You are attempting to leave the swarm on a node that is participating as a manager. Removing the last manager erases all current state of the swarm. Use `--force` to ignore this message.",
      );
    }
    await this.#enqueue(async () => {
      await this.#halt({ leave: true });
      await this.#state.wipe();
      this.#membership = undefined;
      this.#phase = "inactive";
    });
  }

  /** Ends this process's part; the membership stays for the next start. */
  close(): Promise<void> {
    return this.#enqueue(() => this.#halt({ leave: false }));
  }

  /** Runs `work` unless the node is in a cluster; a failure leaves the node as it was before. */
  #enter<R>(work: () => Promise<R>): Promise<R> {
    return this.#enqueue(async () => {
      if (this.#phase === "active" || this.#phase === "pending") {
        throw new CoveyError(
          "failed_precondition",
          'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.',
        );
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
      await this.#openManager(membership);
      await this.#serve(membership);
      return;
    }
    const identity = await this.#identities.load();
    if (!identity) {
      throw new CoveyError(
        "data_loss",
        `Cannot resume node ${membership.nodeID}: its certificate is missing`,
      );
    }
    this.#renew(identity, () => membership.managers);
    this.#startAgent(membership.managers);
    this.#membership = membership;
  }

  async #openManager(membership: Membership): Promise<RunningManager> {
    const { options, clock, random, answer, onFatal } = this.#context;
    const { nodeID, listen, advertise } = membership;
    this.#manager = await RunningManager.open({
      raftDir: `${options.stateDir}/raft`,
      nodeID,
      listen,
      advertise,
      clock,
      random,
      answer,
    });
    void this.#manager.consensus.failed.then(onFatal);
    return this.#manager;
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
    this.#renew(identity, () => [membership.advertise]);
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
    const args = [
      "--state-dir",
      `${options.stateDir}/agent`,
      "--identity",
      options.stateDir,
      "--join",
      managers.join(","),
    ];
    if (options.hostname !== undefined) args.push("--hostname", options.hostname);
    for (const [key, value] of Object.entries(options.labels)) args.push("--label", `${key}=${value}`);
    args.push("--docker", options.dockerSocket ?? "none");
    this.#agent = new AgentProcess({ launcher: agentLauncher, args, env: agentEnv, clock });
    this.#agent.start();
  }

  /** Stops everything that runs. With `leave` the agent removes its tasks first. */
  async #halt({ leave }: { leave: boolean }): Promise<void> {
    this.#renewer?.stop();
    await this.#agent?.stop({ leave });
    await this.#manager?.stop();
    this.#renewer = this.#agent = this.#manager = undefined;
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
