/** What the node was told of the cluster's networks. Pure. */
import type { AssignmentChange } from "../api/dispatcher.ts";
import {
  type AssignedNetwork,
  type AssignedPeer,
  type AssignedService,
  networkServiceID,
  peerID,
} from "../api/network_assignment.ts";

/** As it is kept on disk, for a device that starts without a manager. */
export interface KeptNetworks {
  networks: AssignedNetwork[];
  peers: AssignedPeer[];
  services: AssignedService[];
}

/** The networks of this node, and what is in each. */
export class NodeNetworks {
  readonly networks = new Map<string, AssignedNetwork>();
  readonly #peers = new Map<string, AssignedPeer>();
  readonly #services = new Map<string, AssignedService>();

  /** Begins from what was kept. */
  take({ networks, peers, services }: KeptNetworks): void {
    for (const each of networks) this.networks.set(each.ID, each);
    for (const each of peers) this.#peers.set(peerID(each), each);
    for (const each of services) this.#services.set(networkServiceID(each), each);
  }

  toJSON(): KeptNetworks {
    return {
      networks: [...this.networks.values()],
      peers: [...this.#peers.values()],
      services: [...this.#services.values()],
    };
  }

  /** True if nothing is there. */
  get isEmpty(): boolean {
    return this.networks.size === 0;
  }

  /** The other nodes in a network. */
  peers(id: string): AssignedPeer[] {
    return [...this.#peers.values()].filter(({ NetworkID }) => NetworkID === id);
  }

  /** The addresses in a network that no packet of this node gets to. */
  relayed(id: string): string[] {
    return this.peers(id).flatMap(({ Relayed, Addresses }) => Relayed ? Addresses : []);
  }

  /** The services in a network. */
  services(id: string): AssignedService[] {
    return [...this.#services.values()].filter(({ NetworkID }) => NetworkID === id);
  }

  /** Forgets everything. */
  clear(): void {
    this.networks.clear();
    this.#peers.clear();
    this.#services.clear();
  }

  /** Takes over one change; true if it is about networks. */
  apply(change: AssignmentChange): boolean {
    switch (change.Kind) {
      case "network":
        if (change.Action === "update") this.networks.set(change.Network.ID, change.Network);
        else this.#removeNetwork(change.ID);
        return true;
      case "network_peer":
        if (change.Action === "update") this.#peers.set(peerID(change.Peer), change.Peer);
        else this.#peers.delete(change.ID);
        return true;
      case "network_service":
        if (change.Action === "update") this.#services.set(networkServiceID(change.Service), change.Service);
        else this.#services.delete(change.ID);
        return true;
      default:
        return false;
    }
  }

  #removeNetwork(id: string): void {
    this.networks.delete(id);
    for (const [key, each] of this.#peers) if (each.NetworkID === id) this.#peers.delete(key);
    for (const [key, each] of this.#services) if (each.NetworkID === id) this.#services.delete(key);
  }
}
