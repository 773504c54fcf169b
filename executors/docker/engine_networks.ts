/**
 * The cluster's networks as the engine knows them: for each one that tasks here are in, a network of its own (macvlan, on the
 * device that the agent's helper made), from which it gives containers the addresses that were chosen for them before their
 * programs start. Macvlan, as every engine from 20.10 to 28 has it, knows fixed addresses, and has no firewall rules.
 */
import { CoveyError, hasCode } from "../../api/errors.ts";
import type { Task } from "../../api/task.ts";
import type { OverlayNetworks, ReadyNetwork } from "../overlay_networks.ts";
import { LABEL_NODE_ID } from "./container_config.ts";
import { type ContainerNetworks, endpointConfig } from "./container_networks.ts";
import type { EngineClient } from "./engine_client.ts";
import type { ContainerInspect } from "./engine_types.ts";

/** Marks the engine's networks that are ours, with the ID of the cluster's network. */
const LABEL_NETWORK_ID = "covey.network.id";
/** Networks of our own kind begin with it. */
const PREFIX = "covey-";

/** One of `GET /networks` */
interface EngineNetwork {
  Id: string;
  Labels: Record<string, string> | null;
}

/** Makes the engine's networks when a task needs them, and removes them after the last one. */
export class EngineNetworks {
  readonly #engine: EngineClient;
  readonly #nodeID: string;
  readonly #networks: OverlayNetworks | undefined;
  /** Tasks by network. */
  readonly #users = new Map<string, Set<string>>();
  /** Engines that make two at a time put rules of their own into the firewall twice. */
  #work: Promise<unknown> = Promise.resolve();

  constructor(engine: EngineClient, nodeID: string, networks: OverlayNetworks | undefined) {
    this.#engine = engine;
    this.#nodeID = nodeID;
    this.#networks = networks;
  }

  /** See `OverlayExecutor`. */
  async check(signal: AbortSignal): Promise<void> {
    if (this.#networks === undefined) {
      throw new CoveyError("failed_precondition", "the agent was started without networks");
    }
    await this.#networks.check(signal);
  }

  /** Notes that `task` is in its networks, and so needs them. */
  use({ ID, NetworkAttachments = [] }: Task): void {
    for (const { NetworkID } of NetworkAttachments) {
      const users = this.#users.get(NetworkID) ?? new Set();
      this.#users.set(NetworkID, users.add(ID));
    }
  }

  /** Makes what `task` needs; undefined for one that is in none of the cluster's networks. */
  async prepare(task: Task, signal: AbortSignal): Promise<ContainerNetworks | undefined> {
    const { NetworkAttachments: attachments = [] } = task;
    if (attachments.length === 0) return undefined;
    this.use(task);
    const ready: ReadyNetwork[] = [];
    for (const { NetworkID } of attachments) {
      if (this.#networks === undefined) await this.check(signal);
      const network = await this.#networks!.ready(NetworkID, signal);
      await this.#ensure(network, signal);
      ready.push(network);
    }
    const names = attachments.map((attachment) => ({ name: nameOf(attachment.NetworkID), attachment }));
    const asked = ready.filter(({ Network }) => !Network.Ingress);
    const nameservers = asked.slice(0, 1).map(({ Nameserver }) => Nameserver);
    const isClosed = asked.length > 0 && asked.every(({ Network }) => Network.Internal) &&
      !hasHostPorts(task);
    if (!isClosed) return { mode: "bridge", others: names, nameservers };
    const [first, ...others] = names;
    return { mode: first!.name, first: first!.attachment, others, nameservers };
  }

  /** Connects a container that has yet to be started; done already is success. */
  async connect(containerID: string, { others }: ContainerNetworks, signal: AbortSignal): Promise<void> {
    for (const { name, attachment } of others) {
      await this.#engine.call("POST", `/networks/${name}/connect`, {
        body: { Container: containerID, EndpointConfig: endpointConfig(attachment) },
        signal,
      }).catch((error) => {
        // It is in there already.
        if (!hasCode(error, "permission_denied", "already_exists")) throw error;
      });
    }
  }

  /** Hears of the task's container as it was last seen. */
  seen(task: Task, { Running, Pid }: ContainerInspect["State"]): void {
    if (task.NetworkAttachments?.length) this.#networks?.entered(task, Running ? Pid : 0);
  }

  /** See {@linkcode OverlayNetworks}. */
  async drained(taskID: string, signal: AbortSignal): Promise<void> {
    await this.#networks?.drained(taskID, signal);
  }

  /** Notes that nothing of the task is left; removes what nobody needs any more. */
  async release(task: Task): Promise<void> {
    const { ID, NetworkAttachments = [] } = task;
    if (NetworkAttachments.length > 0) this.#networks?.entered(task, 0);
    for (const { NetworkID } of NetworkAttachments) {
      const users = this.#users.get(NetworkID);
      if (!users?.delete(ID) || users.size > 0) continue;
      this.#users.delete(NetworkID);
      await this.#remove(nameOf(NetworkID)).catch(() => {});
    }
  }

  /** Removes what earlier agents left behind. */
  async sweep(signal: AbortSignal): Promise<void> {
    const filters = JSON.stringify({ label: [LABEL_NETWORK_ID, `${LABEL_NODE_ID}=${this.#nodeID}`] });
    const found = await this.#engine.call<EngineNetwork[]>("GET", "/networks", {
      query: { filters },
      signal,
    });
    for (const { Id, Labels } of found) {
      if (!this.#users.has(Labels?.[LABEL_NETWORK_ID] ?? "")) await this.#remove(Id).catch(() => {});
    }
  }

  async #ensure({ Network, Device }: ReadyNetwork, signal: AbortSignal): Promise<void> {
    const body = {
      Name: nameOf(Network.ID),
      CheckDuplicate: true,
      Driver: "macvlan",
      // The engine gives no way out by it: the bridge is that, where there is one.
      Internal: true,
      IPAM: { Config: Network.Subnets.map(({ Subnet, Gateway }) => ({ Subnet, Gateway })) },
      Options: { parent: Device },
      Labels: { [LABEL_NETWORK_ID]: Network.ID, [LABEL_NODE_ID]: this.#nodeID },
    };
    await this.#alone(() => this.#engine.call("POST", "/networks/create", { body, signal })).catch(
      (error) => {
        if (hasCode(error, "already_exists")) return;
        const { message } = CoveyError.from(error);
        throw new CoveyError("unavailable", `Cannot hand network ${Network.Name} to the engine: ${message}`, {
          cause: error,
          retryable: true,
        });
      },
    );
  }

  async #remove(id: string): Promise<void> {
    await this.#alone(() => this.#engine.call("DELETE", `/networks/${id}`));
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#work.then(work);
    this.#work = done.catch(() => {});
    return done;
  }
}

function nameOf(networkID: string): string {
  return PREFIX + networkID;
}

function hasHostPorts({ Ports = [] }: Task): boolean {
  return Ports.some(({ PublishMode }) => PublishMode === "host");
}
