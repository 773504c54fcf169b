/** Objects as the control API shows them: the stored shapes with what is joined at read time. */
import type { Node, NodeDescription } from "../api/node.ts";
import type { Service } from "../api/service.ts";
import type { Task } from "../api/task.ts";
import type { ClusterSpec } from "../api/cluster.ts";
import type { Version } from "../api/objects.ts";

/** `GET /services?status=true` */
export type ServiceView = Service & {
  ServiceStatus?: { RunningTasks: number; DesiredTasks: number; CompletedTasks: number };
};
/** `GET /nodes`; a node whose agent has not reported yet has an empty description. */
export type NodeView = Omit<Node, "Description"> & {
  Description?: Partial<NodeDescription>;
  /** DER in base64, as the node's certificate has it. */
  PublicKey?: string;
};
/** `GET /tasks`; without `NodeID` until a node was chosen, without `Slot` in a global service or job. */
export type TaskView = Omit<Task, "NodeID"> & { NodeID?: string };

/** `GET /swarm` */
export interface SwarmView {
  ID: string;
  Version: Version;
  Spec: ClusterSpec;
  JoinTokens: { Worker: string; Manager: string };
}

/** `GET /info`, the part that is read here. */
export interface InfoView {
  Name: string;
  ServerVersion: string;
  OperatingSystem?: string;
  Architecture: string;
  Swarm: {
    NodeID: string;
    NodeAddr: string;
    LocalNodeState: string;
    ControlAvailable: boolean;
    Error: string;
    RemoteManagers: { NodeID: string; Addr: string }[] | null;
    Nodes?: number;
    Managers?: number;
  };
}
