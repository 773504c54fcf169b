/** Nodes: the devices of a cluster. */
import type { NetworkAttachment } from "./network.ts";
import type { Annotations, Meta, Platform, Resources } from "./objects.ts";

/** What a node may do in the cluster. */
export type NodeRole = "worker" | "manager";
/** Whether a node takes tasks: `active` new ones, `pause` keeps what it has, `drain` none. */
export type NodeAvailability = "active" | "pause" | "drain";
/** Whether a node was heard from. */
export type NodeState = "unknown" | "down" | "ready" | "disconnected";

/**
 * What the user wants of a node.
 *
 * @example
 * ```ts
 * const drained: NodeSpec = { Name: "", Labels: { room: "lab" }, Role: "worker", Availability: "drain" };
 * ```
 */
export interface NodeSpec extends Annotations {
  Role: NodeRole;
  Availability: NodeAvailability;
}

/**
 * What the node's agent says of itself.
 *
 * @example
 * ```ts
 * const device: NodeDescription = {
 *   Hostname: "pi-4",
 *   Platform: { OS: "linux", Architecture: "arm64" },
 *   Resources: { NanoCPUs: 4e9, MemoryBytes: 2 ** 30 },
 *   Engine: { EngineVersion: "27.5.1" },
 *   Runtimes: ["container", "process"],
 * };
 * ```
 */
export interface NodeDescription {
  Hostname: string;
  Platform: Platform;
  Resources: Resources;
  Engine: {
    EngineVersion: string;
    Labels?: Record<string, string>;
    Plugins?: { Type: string; Name: string }[];
  };
  /** Runtimes this node can run (`container`, `process`, …): an extension of the Engine API. */
  Runtimes: string[];
  /** Runtimes that the node has an executor for, but that do not work now, and why: an extension as well. */
  MissingRuntimes?: Record<string, string>;
  /** Runtimes whose tasks this node can attach to overlay networks: an extension, as the next two are. */
  OverlayRuntimes?: string[];
  /** Why it can attach none, or not those of every runtime that is made for it, in words. */
  MissingOverlay?: string;
  /** IP address to which other nodes send what is for its overlay networks; else that from which it connected. */
  DataPathAddr?: string;
  /** The address of its own from which it connected: another than {@linkcode NodeStatus.Addr} behind address translation. */
  LocalAddr?: string;
  /** Runtimes whose running programs can be told of new secrets and configs by a signal: an extension as well. */
  Reloads?: string[];
  /** No manager's process stands beside the agent, so this node cannot be promoted: an extension too. */
  AgentOnly?: boolean;
  /** No agent runs beside the manager, which has told of the node itself: an extension too. */
  ManagerOnly?: boolean;
  /** Its agent swaps tasks by itself (`Task.Swap`): an extension too. */
  Swaps?: true;
  /** Its agent runs jobs by the clock (`TaskSpec.Schedule`): an extension too. */
  Schedules?: true;
  /**
   * What the agent found out about its device, by name, for constraints on `node.fact.NAME`: an extension as well. One value
   * each, but for `dev`, which lists paths below /dev.
   */
  Facts?: Record<string, string[]>;
  TLSInfo?: { TrustRoot: string; CertIssuerSubject: string; CertIssuerPublicKey: string };
}

/** Last observed state of a node. `Addr` is the address it connected from, without port. */
export interface NodeStatus {
  State: NodeState;
  Message?: string;
  Addr: string;
}

/** A manager's part in the quorum; joined at read time, never stored by the orchestrator. */
export interface ManagerStatus {
  Leader?: boolean;
  Reachability: "unknown" | "unreachable" | "reachable";
  /** HOST:PORT */
  Addr: string;
}

/** What the CA issued to a node. */
export interface NodeCertificate {
  /** SHA-256 of the DER public key in hexadecimal: the node's lasting identity. */
  PublicKeyDigest: string;
  /** The key itself, DER in base64, for who seals secrets; none of a certificate that an older manager issued. */
  PublicKey?: string;
  /** Role in the last certificate issued. */
  Role: NodeRole;
  IssuedAt: string;
  ExpiresAt: string;
}

/**
 * A node as stored.
 *
 * @example
 * ```ts
 * // Whether new tasks may be put on the node.
 * function takesTasks(node: Pick<Node, "Spec" | "Status">): boolean {
 *   return node.Status.State === "ready" && node.Spec.Availability === "active";
 * }
 * ```
 */
export interface Node extends Meta {
  Spec: NodeSpec;
  /** Observed role; trails `Spec.Role`. */
  Role: NodeRole;
  Description?: NodeDescription;
  Status: NodeStatus;
  ManagerStatus?: ManagerStatus;
  Certificate?: NodeCertificate;
  /**
   * The node is to renew at once, unless its certificate is by this issuer, SHA-256 of whose public key it is, hexadecimal;
   * `Since` is when it was told so (RFC 3339), and `Done` that it has been given a certificate since.
   */
  Renewal?: { Issuer: string; Since: string; Done?: boolean };
  /** The node's own addresses in networks of the cluster, from the allocator: where it has tasks, or answers ports for all. */
  Attachments?: NetworkAttachment[];
}
