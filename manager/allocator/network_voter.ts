/**
 * Shares out the addresses of the cluster's networks and the ports that every node answers: to services first, whose
 * endpoint it writes; then to their tasks; and to each node an address in each network that it has tasks in. Its books are
 * in memory only and made from the store.
 */
import { getLogger } from "@logtape/logtape";
import type { Network, NetworkAttachment } from "../../api/network.ts";
import type { Node } from "../../api/node.ts";
import { clusterNetworks } from "../../api/predefined_network.ts";
import { publishesByIngress, type Service } from "../../api/service.ts";
import { isTerminal } from "../../api/task_state.ts";
import type { Task } from "../../api/task.ts";
import { deepEqual } from "../../api/deep_equal.ts";
import type { WorkList } from "../leader/work_list.ts";
import type { Change, Commit, Store } from "../store/store.ts";
import { isWanted } from "../task/task.ts";
import { AddressBook } from "./address_book.ts";
import { isSettled, noAddress, planEndpoint, serviceHolder } from "./endpoint.ts";
import { PortBook } from "./port_book.ts";
import { Queues } from "./queues.ts";
import type { AllocationVoter, Ballot, Vote } from "./voter.ts";

const logger = getLogger(["covey", "allocator"]);

/** What a task waits for whose service was given nothing yet. */
const SERVICE_FIRST = "its service has no addresses yet";

const taskHolder = (id: string) => `task/${id}`;
const nodeHolder = (id: string) => `node/${id}`;

/** Votes on networks and ports. */
export class NetworkVoter implements AllocationVoter {
  readonly name = "network";
  readonly #addresses = new AddressBook();
  readonly #ports = new PortBook();
  /** Tasks that wait for an address of a network, and those that wait for their service. */
  readonly #waiting = new Queues();
  readonly #waitingForService = new Queues();
  /** Tasks that have an address and no node yet, for which their node may need one: it is kept for it. */
  readonly #underWay = new Queues();
  /** Nodes that have an address of a network, and those that can be in any. */
  readonly #nodesIn = new Queues();
  readonly #able = new Set<string>();
  /** Services that wait, and why. */
  readonly #blocked = new Map<string, string>();
  /** The network by which published ports reach tasks. */
  #ingress: string | undefined;
  /** Services with ports in ingress mode. */
  readonly #publishers = new Set<string>();
  #ballot!: Ballot;
  #services!: WorkList;
  #nodes!: WorkList;
  #removed!: WorkList;
  /** Something was given back since anybody who waits was looked at. */
  #freed = false;

  get #store(): Store {
    return this.#ballot.options.store;
  }

  join(ballot: Ballot): void {
    this.#ballot = ballot;
    this.#services = ballot.list("service");
    this.#nodes = ballot.list("node");
    this.#removed = ballot.list("network");
  }

  resync(): void {
    for (const each of [this.#addresses, this.#ports]) each.clear();
    const queues = [this.#waiting, this.#waitingForService, this.#underWay, this.#nodesIn];
    for (const each of queues) each.clear();
    this.#able.clear();
    this.#blocked.clear();
    this.#publishers.clear();
    this.#ingress = undefined;
    for (const network of this.#store.all("networks")) this.#noteNetwork(network);
    // Whoever has something comes before those who are still to be given it.
    for (const service of this.#store.all("services")) this.#noteService(service);
    for (const task of this.#store.all("tasks")) this.#noteTask(task, undefined);
    for (const node of this.#store.all("nodes")) this.#noteNode(node, undefined);
  }

  onCommit({ changes }: Commit): boolean {
    for (const change of changes) this.#note(change);
    return this.#services.size + this.#nodes.size + this.#removed.size > 0 || this.#freed;
  }

  #note(change: Change): void {
    const { action } = change, isGone = action === "remove";
    if (change.table === "networks") {
      if (isGone) this.#addresses.remove(change.object.ID);
      else this.#noteNetwork(change.object);
    } else if (change.table === "services") {
      if (isGone) this.#forgetService(change.object.ID);
      else this.#noteService(change.object);
    } else if (change.table === "tasks") {
      if (isGone) this.#forgetTask(change.object);
      else this.#noteTask(change.object, change.old);
    } else if (change.table === "nodes") {
      if (isGone) this.#forgetNode(change.object.ID);
      else this.#noteNode(change.object, change.old);
    }
  }

  #noteNetwork(network: Network): void {
    const { ID, Spec: { Ingress }, RemovedAt } = network;
    this.#addresses.add(network);
    if (RemovedAt !== undefined) this.#removed.add(ID);
    if (Ingress && RemovedAt === undefined) this.#ingress = ID;
    else if (this.#ingress === ID) this.#ingress = undefined;
  }

  #noteService(service: Service): void {
    const { ID, Endpoint } = service, holder = serviceHolder(ID);
    for (const { NetworkID, Addr } of Endpoint?.VirtualIPs ?? []) this.#claim(NetworkID, holder, Addr);
    this.#ports.claim(ID, Endpoint?.Ports ?? []);
    this.#notePublisher(ID, publishesByIngress(service.Spec));
    if (!isSettled(service, this.#ingress)) return this.#services.add(ID);
    this.#blocked.delete(ID);
    this.#freed = this.#ports.keep(ID, Endpoint?.Ports ?? []) || this.#freed;
    this.#keep(holder, Endpoint?.VirtualIPs?.map(({ NetworkID }) => NetworkID) ?? []);
    for (const task of this.#waitingForService.takeAll(ID)) this.#ballot.look(task);
  }

  #forgetService(id: string): void {
    this.#services.delete(id);
    this.#blocked.delete(id);
    this.#notePublisher(id, false);
    this.#freed = this.#ports.keep(id, []) || this.#freed;
    this.#release(serviceHolder(id));
    for (const task of this.#waitingForService.takeAll(id)) this.#ballot.look(task);
  }

  /** With the first service that publishes ports on every node each of them gets an address for it; with the last it goes. */
  #notePublisher(id: string, publishes: boolean): void {
    const before = this.#publishers.size;
    if (publishes) this.#publishers.add(id);
    else this.#publishers.delete(id);
    if ((before === 0) === (this.#publishers.size === 0)) return;
    for (const node of this.#store.all("nodes")) this.#nodes.add(node.ID);
  }

  #noteTask(task: Task, old: Task | undefined): void {
    if (isTerminal(task.Status.State)) return this.#forgetTask(task);
    if (task.NetworkAttachments === undefined) return;
    // A task that is made for one node has it before it has addresses.
    const before = old?.NetworkAttachments && old.NodeID;
    for (const { NetworkID, Addresses: [address = ""] } of task.NetworkAttachments) {
      this.#claim(NetworkID, taskHolder(task.ID), address);
      if (task.NodeID !== before) this.#underWay.add(NetworkID, task.ID);
    }
    if (task.NodeID === before) return;
    for (const id of [task.NodeID, before ?? ""]) if (id !== "") this.#nodes.add(id);
  }

  #forgetTask({ ID, NodeID }: Task): void {
    for (const network of this.#addresses.networksOf(taskHolder(ID))) this.#underWay.delete(network, ID);
    if (!this.#release(taskHolder(ID))) return;
    if (NodeID !== "") this.#nodes.add(NodeID);
  }

  #noteNode(node: Node, old: Node | undefined): void {
    for (const { NetworkID, Addresses: [address = ""] } of node.Attachments ?? []) {
      this.#claim(NetworkID, nodeHolder(node.ID), address);
      this.#nodesIn.add(NetworkID, nodeHolder(node.ID));
    }
    if (canOverlay(node)) this.#able.add(node.ID);
    else this.#able.delete(node.ID);
    // Otherwise what is on its way to the store would be given to another.
    if (!deepEqual(node.Attachments, old?.Attachments)) this.#keep(nodeHolder(node.ID), networksOf(node));
    const isNew = old === undefined && node.Attachments !== undefined;
    if (isNew || canOverlay(node) !== (old !== undefined && canOverlay(old))) this.#nodes.add(node.ID);
  }

  #forgetNode(id: string): void {
    this.#able.delete(id);
    this.#release(nodeHolder(id));
  }

  #claim(network: string, holder: string, address: string): void {
    if (this.#addresses.claim(network, holder, address) || !this.#addresses.has(network)) return;
    logger.error("{holder} has the address {address} of network {network}, which it should not have", {
      holder,
      address,
      network,
    });
  }

  /** `holder` has addresses of `networks` and of no others. */
  #keep(holder: string, networks: readonly string[]): void {
    for (const id of this.#addresses.networksOf(holder)) if (!networks.includes(id)) this.#free(id, holder);
  }

  /** True if it had anything. */
  #release(holder: string): boolean {
    const networks = this.#addresses.networksOf(holder);
    for (const id of networks) this.#free(id, holder);
    return networks.length > 0;
  }

  #free(network: string, holder: string): void {
    if (!this.#addresses.release(network, holder)) return;
    this.#nodesIn.delete(network, holder);
    this.#freed = true;
    if (this.#store.get("networks", network)?.RemovedAt !== undefined) this.#removed.add(network);
  }

  async prepare(): Promise<void> {
    if (this.#freed) {
      this.#freed = false;
      for (const id of this.#blocked.keys()) this.#services.add(id);
    }
    await this.#settleServices();
    await this.#settleNodes();
    await this.#dropNetworks();
    for (const id of this.#waiting.keys()) this.#wake(id);
  }

  /** As many as a network has room for; one that does not wait any more leaves its turn to the next. */
  #wake(network: string): void {
    for (let left = this.#addresses.free(network) - this.#kept(network, 0); left > 0;) {
      const [id] = this.#waiting.take(network, 1);
      if (id === undefined) return;
      const task = this.#store.get("tasks", id);
      if (task?.Status.State !== "new" || !isWanted(task)) continue;
      this.#ballot.look(id);
      left--;
    }
  }

  async #settleServices(): Promise<void> {
    const books = { addresses: this.#addresses, ports: this.#ports };
    const networks = {
      ingress: this.#ingress,
      nameOf: (id: string) => this.#nameOf(id),
      kept: (id: string) => this.#kept(id, 0),
    };
    const plans = new Map<string, { version: number; endpoint: Service["Endpoint"] }>();
    for (const id of this.#services.take()) {
      const service = this.#store.get("services", id);
      if (service === undefined || isSettled(service, this.#ingress)) continue;
      this.#services.attempt(id, () => {
        const endpoint = planEndpoint(service, books, networks);
        if (typeof endpoint !== "string") {
          plans.set(id, { version: service.Version.Index, endpoint });
          return;
        }
        const isNew = this.#blocked.get(id) !== endpoint;
        this.#blocked.set(id, endpoint);
        if (isNew) { for (const task of this.#waitingForService.takeAll(id)) this.#ballot.look(task); }
      });
    }
    await this.#store.batch(plans, (tx, [id, { version, endpoint }]) => {
      const service = tx.get("services", id);
      // Its change has it looked at again.
      if (service?.Version.Index !== version) return;
      const { Endpoint: _, ...rest } = service;
      tx.update("services", endpoint === undefined ? rest : { ...rest, Endpoint: endpoint });
    }, ([id], outcome) => {
      if (!outcome.committed) this.#services.failed(id, outcome.error);
    });
    this.#services.finish();
  }

  async #settleNodes(): Promise<void> {
    const plans = new Map<string, NetworkAttachment[]>();
    for (const id of this.#nodes.take()) {
      const node = this.#store.get("nodes", id);
      if (node === undefined) continue;
      this.#nodes.attempt(id, () => {
        const wanted = this.#attachmentsOf(node);
        this.#keep(nodeHolder(id), [...networksOf(node), ...wanted.map(({ NetworkID }) => NetworkID)]);
        if (!deepEqual(wanted, node.Attachments ?? [])) plans.set(id, wanted);
      });
    }
    await this.#store.batch(plans, (tx, [id, wanted]) => {
      const node = tx.get("nodes", id);
      if (node === undefined) return;
      const { Attachments: _, ...rest } = node;
      tx.update("nodes", wanted.length === 0 ? rest : { ...rest, Attachments: wanted });
    }, ([id], outcome) => {
      if (!outcome.committed) this.#nodes.failed(id, outcome.error);
    });
    this.#nodes.finish();
  }

  /** Where a node has tasks, and where ports are published; a network that has no address left is left out. */
  #attachmentsOf(node: Node): NetworkAttachment[] {
    const ingress = this.#publishers.size > 0 && canOverlay(node) ? this.#ingress : undefined;
    const networks = new Set(ingress === undefined ? [] : [ingress]);
    for (const task of this.#store.find("tasks", "nodeID", node.ID)) {
      if (isTerminal(task.Status.State)) continue;
      for (const { NetworkID } of task.NetworkAttachments ?? []) {
        networks.add(NetworkID);
        this.#underWay.delete(NetworkID, task.ID);
      }
    }
    return [...networks].sort().flatMap((NetworkID) => {
      const address = this.#addresses.take(NetworkID, nodeHolder(node.ID));
      if (address !== undefined) this.#nodesIn.add(NetworkID, nodeHolder(node.ID));
      return address === undefined ? [] : [{ NetworkID, Addresses: [address] }];
    });
  }

  /** Removed networks go when the last who was in one has left it. */
  async #dropNetworks(): Promise<void> {
    await this.#removed.commit(this.#store, (tx, id) => {
      if (tx.get("networks", id) === undefined || this.#addresses.holders(id) > 0) return;
      tx.delete("networks", id);
    });
  }

  /** Addresses of a network that are for the nodes of tasks which are under way, if `more` were to join them. */
  #kept(network: string, more: number): number {
    const without = Math.max(0, this.#able.size - this.#nodesIn.size(network));
    return Math.min(this.#underWay.size(network) + more, without);
  }

  vote(task: Task): Vote {
    const wanted = this.#networksOf(task);
    if (wanted.length === 0) return { grant: {} };
    const service = this.#store.get("services", task.ServiceID);
    // What an earlier spec asked for was given when it was the present one.
    const isCurrent = service?.SpecVersion.Index === task.SpecVersion?.Index;
    if (service && isCurrent && !isSettled(service, this.#ingress)) {
      this.#waitingForService.add(service.ID, task.ID);
      return { wait: this.#blocked.get(service.ID) ?? SERVICE_FIRST };
    }
    const holder = taskHolder(task.ID), attachments: NetworkAttachment[] = [];
    for (const { NetworkID, Aliases } of wanted) {
      const address = this.#addresses.take(NetworkID, holder, this.#kept(NetworkID, 1));
      if (address === undefined) {
        // Others can use what would be of no use to it alone.
        for (const { NetworkID } of attachments) this.#underWay.delete(NetworkID, task.ID);
        this.#release(holder);
        this.#waiting.add(NetworkID, task.ID);
        return { wait: noAddress(this.#nameOf(NetworkID), NetworkID, this.#addresses) };
      }
      this.#underWay.add(NetworkID, task.ID);
      attachments.push({ NetworkID, Addresses: [address], ...(Aliases && { Aliases }) });
    }
    return { grant: { NetworkAttachments: attachments } };
  }

  #networksOf({ Spec, Ingress }: Task): { NetworkID: string; Aliases?: string[] }[] {
    const own = clusterNetworks(Spec).map(({ Target, Aliases }) => ({
      NetworkID: Target,
      ...(Aliases && { Aliases }),
    }));
    return Ingress && this.#ingress !== undefined ? [{ NetworkID: this.#ingress }, ...own] : own;
  }

  #nameOf(id: string): string {
    return this.#store.get("networks", id)?.Spec.Name ?? id;
  }
}

function networksOf({ Attachments = [] }: Node): string[] {
  return Attachments.map(({ NetworkID }) => NetworkID);
}

/** True for a node that can have tasks of any kind in overlay networks. */
function canOverlay({ Description }: Node): boolean {
  return Description?.OverlayRuntimes !== undefined;
}
