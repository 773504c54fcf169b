/**
 * Networks of the cluster, in the Engine API's names. Each is cut out of the cluster's address pools when it is made, and
 * what it got never changes. Addresses are IPv4; one with its mask is in CIDR notation (`10.0.1.5/24`).
 */
import type { Annotations, Meta } from "./objects.ts";

/** The driver of networks between nodes: the only one that the cluster's own networks have. */
export const OVERLAY_DRIVER = "overlay";

/** The option of the driver that names the bytes of the largest packet inside a network. */
export const MTU_OPTION = "com.docker.network.driver.mtu";

/** The option of the driver that names a network's VXLAN identifier, and by which it is shown. */
export const VNI_OPTION = "com.docker.network.driver.overlay.vxlanid_list";

/** The last VXLAN identifier that there is (RFC 7348). */
export const MAX_VNI = 2 ** 24 - 1;

/** Name of the network over which published ports reach tasks, as every cluster is given it. */
export const INGRESS_NETWORK_NAME = "ingress";

/** One range of addresses as it is asked for. */
export interface IPAMConfig {
  /** CIDR notation. */
  Subnet: string;
  /** CIDR notation, inside of `Subnet`: what tasks and services get their addresses from. */
  IPRange?: string;
  /** Without mask. */
  Gateway?: string;
  /** Addresses that nothing gets, without mask, by a name of the user's. */
  AuxiliaryAddresses?: Record<string, string>;
}

/** One range of addresses as it was given. */
export interface NetworkSubnet extends IPAMConfig {
  Gateway: string;
}

/**
 * What the user asked for.
 *
 * @example
 * ```ts
 * const backend: NetworkSpec = { Name: "backend", Labels: {}, Internal: true };
 * ```
 */
export interface NetworkSpec extends Annotations {
  /** No way out of the network. */
  Internal?: true;
  /** Containers that belong to no service may be attached. */
  Attachable?: true;
  /** Published ports reach tasks over it; a cluster has at most one such network. */
  Ingress?: true;
  /** The driver's options; {@linkcode MTU_OPTION} and {@linkcode VNI_OPTION} are read. */
  Options?: Record<string, string>;
  /** None: a subnet of the cluster's pools. */
  Subnets?: IPAMConfig[];
}

/**
 * A network as stored.
 *
 * @example
 * ```ts
 * function firstGateway({ Subnets }: Network): string | undefined {
 *   return Subnets[0]?.Gateway;
 * }
 * ```
 */
export interface Network extends Meta {
  Spec: NetworkSpec;
  /** VXLAN network identifier, one for each network: what its spec names, 1 to 16777215, else 4096 and up, as Docker numbers them. */
  VNI: number;
  Subnets: NetworkSubnet[];
  /**
   * When it was removed, while tasks that have yet to stop are still in it: nobody finds it any more, and what it was given
   * is not given to another.
   */
  RemovedAt?: string;
}

/**
 * A task's or a node's place in a network.
 *
 * @example
 * ```ts
 * const place: NetworkAttachment = { NetworkID: "abc", Addresses: ["10.0.1.5/24"], Aliases: ["db"] };
 * ```
 */
export interface NetworkAttachment {
  NetworkID: string;
  /** One, with the mask of its subnet. */
  Addresses: string[];
  /** Names that a task asks to be found by, besides its service's. */
  Aliases?: string[];
}

/**
 * A service's address in a network, which stands for all its tasks.
 *
 * @example
 * ```ts
 * const address: VirtualIP = { NetworkID: "abc", Addr: "10.0.1.2/24" };
 * ```
 */
export interface VirtualIP {
  NetworkID: string;
  /** With the mask of its subnet. */
  Addr: string;
}
