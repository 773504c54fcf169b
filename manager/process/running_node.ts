/** What runs on a node in a cluster: the manager if it is one, the agent beside it, the renewal of its certificate. */
import { getLogger } from "@logtape/logtape";
import { CoveyError } from "../../api/errors.ts";
import { type IdentityStore, type NodeIdentity, RemoteCA, Renewer } from "../../security/mod.ts";
import { isForeign } from "./addresses.ts";
import { AgentNotes } from "./agent_notes.ts";
import { agentArguments, AgentProcess } from "./agent_process.ts";
import type { NodeContext } from "./node_context.ts";
import type { NodeMembership } from "./membership_file.ts";
import { issueOwnIdentity } from "./own_identity.ts";
import { RunningManager } from "../server/running_manager.ts";

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
  readonly #hooks: RunningNodeHooks;
  #manager: RunningManager | undefined;
  #agent: AgentProcess | undefined;
  #notes: AgentNotes | undefined;
  #renewer: Renewer | undefined;

  constructor(context: NodeContext, identities: IdentityStore, hooks: RunningNodeHooks) {
    this.#context = context;
    this.#identities = identities;
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
      nodeID,
      listen,
      advertise,
      clock,
      random,
      answer,
      ...(joined && { join: true }),
      ...(identity && { identity }),
      ...how,
    });
    this.#manager = manager;
    void manager.consensus.failed.then(onFatal);
    void manager.consensus.removed.then(() => this.#hooks.removed(manager));
    return manager;
  }

  /** Listens with the certificate on disk, or with one of its own making where a first start was cut short. */
  async listen({ nodeID }: NodeMembership): Promise<void> {
    const manager = this.#manager!;
    const identity = await this.#identities.load() ??
      await this.#identities.save(
        await issueOwnIdentity(
          manager.cluster,
          nodeID,
          await this.#identities.pendingKey(),
          this.#context,
        ),
      );
    await manager.serve(identity);
  }

  /** A manager that listens and votes: the rest of what it does. */
  async attend(membership: NodeMembership): Promise<void> {
    const { nodeID, advertise } = membership;
    const others = () => this.remoteManagers(membership).map(({ Addr }) => Addr);
    this.#renew(await this.requireIdentity(membership), () => [advertise, ...others()]);
    this.#startAgent([advertise]);
    logger.info("Manager {nodeID} serves at {advertise}", { nodeID, advertise });
    if (isForeign(advertise, this.#context.interfaces())) logger.warn(FOREIGN, { advertise });
  }

  /** Runs a worker. */
  async work(membership: NodeMembership): Promise<void> {
    const { options, clock } = this.#context;
    const identity = await this.requireIdentity(membership);
    this.#notes = new AgentNotes(`${options.stateDir}/agent`, clock, (role) => this.#hooks.role(role));
    this.#renew(identity, () => this.knownManagers(membership));
    this.#startAgent(membership.managers);
    await this.#notes.start();
  }

  /** Stops everything that runs. With `leave` the agent removes its tasks first. */
  async halt({ leave }: { leave: boolean }): Promise<void> {
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
}
