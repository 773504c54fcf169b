/** The cluster's networks, as executors use them. */
import type { AssignedNetwork } from "../api/network_assignment.ts";
import type { Task } from "../api/task.ts";

/**
 * A network that is there on this node.
 *
 * @example
 * ```ts
 * const subnetOf = ({ Network }: ReadyNetwork) => Network.Subnets[0]!.Subnet;
 * ```
 */
export interface ReadyNetwork {
  Network: AssignedNetwork;
  /** The host's device on which containers get their own (macvlan). */
  Device: string;
  /** Bytes of the largest packet inside. */
  MTU: number;
  /** Address in the network at which names are answered. */
  Nameserver: string;
}

/**
 * The cluster's networks as the agent keeps them on this node.
 *
 * @example
 * ```ts
 * const none: OverlayNetworks = {
 *   check: () => Promise.reject(new Error("this host has no program nft")),
 *   ready: () => Promise.reject(new Error("there are none")),
 *   join: () => Promise.reject(new Error("there are none")),
 *   resume: () => {},
 *   part: () => Promise.resolve(),
 *   entered: () => {},
 *   drained: () => Promise.resolve(),
 * };
 * ```
 */
export interface OverlayNetworks {
  /** Resolves if this host can have them; else rejects with what it lacks. */
  check(signal: AbortSignal): Promise<void>;
  /** Resolves once the network is made here. Rejects, retryable, with why it is not. */
  ready(networkID: string, signal: AbortSignal): Promise<ReadyNetwork>;
  /**
   * Makes a network namespace for a task that is no container, with its place in each of its networks; resolves with the node's
   * ID, by which the shim finds it. Rejects, retryable, with why it cannot be made. Done again, it is the same again.
   */
  join(task: Task, signal: AbortSignal): Promise<string>;
  /** Takes up the namespace of a task that an earlier agent started. */
  resume(task: Task): void;
  /** Removes a task's namespace, if it has one. */
  part(taskID: string): Promise<void>;
  /** Hears by which process the network namespace of a container in networks is found; 0: it runs no more. */
  entered(task: Task, pid: number): void;
  /**
   * Resolves when no node sends anything new to a task that is about to be stopped, as far as that can be known in some
   * seconds. Rejects only when `signal` aborts.
   */
  drained(taskID: string, signal: AbortSignal): Promise<void>;
}
