/**
 * Which services are in which of the cluster's networks, and which of their tasks serve there: made from the store, and kept up
 * with each commit at the cost of what changed in it. Pure.
 */
import { deepEqual } from "../../api/deep_equal.ts";
import { parseIPv4 } from "../../api/ipv4.ts";
import type { AssignedBackend, AssignedService } from "../../api/network_assignment.ts";
import type { Node } from "../../api/node.ts";
import type { Service } from "../../api/service.ts";
import { compareStates } from "../../api/task_state.ts";
import { type Task, taskName } from "../../api/task.ts";
import type { ReadView } from "../store/store.ts";

/** A service whose part in a network changed. */
export interface ServicePlace {
  NetworkID: string;
  ServiceID: string;
}

/** What a network knows of a service without looking: whether it has an address there, and its tasks that serve. */
interface Part {
  hasAddress: boolean;
  serving: Map<string, AssignedBackend & { Aliases: string[] }>;
}

/** False for a node of which nothing is heard: what a global service has there stays its task, and nobody is sent to it. */
function isThere(node: Node | undefined): boolean {
  return node !== undefined && node.Status.State !== "down";
}

/** True for a task that runs in networks and is to be sent nothing new any more. */
export function isLeaving({ ServiceID, Status, DesiredState, NetworkAttachments }: Task): boolean {
  return NetworkAttachments !== undefined && ServiceID !== "" && Status.State === "running" &&
    compareStates(DesiredState, "running") > 0;
}

/** True for a task that is to be sent what is for its service. */
function serves({ ServiceID, Status, DesiredState, NetworkAttachments }: Task): boolean {
  return NetworkAttachments !== undefined && ServiceID !== "" && Status.State === "running" &&
    compareStates(DesiredState, "running") <= 0;
}

/** Services by network. */
export class ServiceMap {
  readonly #networks = new Map<string, Map<string, Part>>();

  /** Begins anew from what the store says. */
  rebuild(view: ReadView): void {
    this.#networks.clear();
    for (const service of view.all("services")) this.service(service, undefined);
    for (const task of view.all("tasks")) this.task(task, undefined);
  }

  /** The services in a network. */
  services(networkID: string): Iterable<string> {
    return this.#networks.get(networkID)?.keys() ?? [];
  }

  /** Who serves at an address of a network. */
  backend(networkID: string, address: string): AssignedBackend | undefined {
    for (const { serving } of this.#networks.get(networkID)?.values() ?? []) {
      for (const backend of serving.values()) if (backend.Address === address) return backend;
    }
    return undefined;
  }

  /** Notes a task that is there now, or is gone, and what it was before; returns where that changes something. */
  task(task: Task | undefined, old: Task | undefined): ServicePlace[] {
    const before = old && serves(old) ? old : undefined, after = task && serves(task) ? task : undefined;
    // What a task was given never changes.
    if ((before === undefined) === (after === undefined)) return [];
    const { ID, NodeID, ServiceID, NetworkAttachments = [] } = (after ?? before)!;
    return NetworkAttachments.map(({ NetworkID, Addresses: [address = ""], Aliases = [] }) => {
      if (after === undefined) this.#part(NetworkID, ServiceID).serving.delete(ID);
      else {
        const Address = address.split("/", 1)[0]!;
        this.#part(NetworkID, ServiceID).serving.set(ID, {
          TaskID: ID,
          Name: taskName(after),
          NodeID,
          Address,
          Aliases,
        });
      }
      this.#forgetIfEmpty(NetworkID, ServiceID);
      return { NetworkID, ServiceID };
    });
  }

  /** The same for a service. */
  service(service: Service | undefined, old: Service | undefined): ServicePlace[] {
    if (deepEqual(service?.Endpoint, old?.Endpoint) && service?.Spec.Name === old?.Spec.Name) return [];
    const ServiceID = (service ?? old)!.ID;
    const before = networksWithAddress(old), after = networksWithAddress(service);
    for (const id of before) this.#part(id, ServiceID).hasAddress = false;
    for (const id of after) this.#part(id, ServiceID).hasAddress = true;
    const touched = [...this.#networks].filter(([, parts]) => parts.has(ServiceID)).map(([id]) => id);
    for (const id of touched) this.#forgetIfEmpty(id, ServiceID);
    return touched.map((NetworkID) => ({ NetworkID, ServiceID }));
  }

  /** The same for a node: where it goes down, or is back, what serves there does not serve, or does again. */
  node(node: Node | undefined, old: Node | undefined): ServicePlace[] {
    // What is new has no tasks yet.
    if (old === undefined || isThere(node) === isThere(old)) return [];
    return [...this.#networks].flatMap(([NetworkID, parts]) =>
      [...parts].filter(([, { serving }]) => serving.values().some(({ NodeID }) => NodeID === old.ID))
        .map(([ServiceID]) => ({ NetworkID, ServiceID }))
    );
  }

  /** What the nodes of a network have to know of a service there; undefined if there is nothing. */
  assigned(view: ReadView, { NetworkID, ServiceID }: ServicePlace): AssignedService | undefined {
    const part = this.#networks.get(NetworkID)?.get(ServiceID), service = view.get("services", ServiceID);
    if (part === undefined || service === undefined) return undefined;
    const { VirtualIPs = [], Ports = [] } = service.Endpoint ?? {};
    const VirtualIP = VirtualIPs.find((each) => each.NetworkID === NetworkID)?.Addr.split("/", 1)[0];
    const all = [...part.serving.values()];
    const there = all.filter(({ NodeID }) => isThere(view.get("nodes", NodeID)));
    // What no manager hears of may be in reach all the same.
    const serving = (there.length > 0 ? there : all).sort((a, b) =>
      parseIPv4(a.Address)! - parseIPv4(b.Address)!
    );
    const isIngress = view.get("networks", NetworkID)?.Spec.Ingress ?? false;
    return {
      NetworkID,
      ServiceID,
      Name: service.Spec.Name,
      Aliases: [...new Set(serving.flatMap(({ Aliases }) => Aliases))].sort(),
      ...(VirtualIP !== undefined && { VirtualIP }),
      Ports: isIngress ? Ports.filter(({ PublishMode }) => PublishMode === "ingress") : [],
      Backends: serving.map(({ Aliases: _, ...backend }) => backend),
    };
  }

  #part(networkID: string, serviceID: string): Part {
    const parts = this.#networks.get(networkID) ?? new Map<string, Part>();
    const part = parts.get(serviceID) ?? { hasAddress: false, serving: new Map() };
    this.#networks.set(networkID, parts.set(serviceID, part));
    return part;
  }

  #forgetIfEmpty(networkID: string, serviceID: string): void {
    const parts = this.#networks.get(networkID), part = parts?.get(serviceID);
    if (part === undefined || part.hasAddress || part.serving.size > 0) return;
    parts!.delete(serviceID);
    if (parts!.size === 0) this.#networks.delete(networkID);
  }
}

function networksWithAddress(service: Service | undefined): string[] {
  return service?.Endpoint?.VirtualIPs?.map(({ NetworkID }) => NetworkID) ?? [];
}
