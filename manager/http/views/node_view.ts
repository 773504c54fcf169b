/** How nodes are shown: keys and certificates stay inside. */
import type { Node, NodeDescription } from "../../../api/node.ts";
import type { ConsensusStatus } from "../../consensus/consensus.ts";
import { inOrder } from "./task_spec_view.ts";

function descriptionView(description: NodeDescription): Record<string, unknown> {
  const {
    Hostname,
    Platform,
    Resources,
    Engine,
    TLSInfo,
    Runtimes,
    MissingRuntimes,
    AgentOnly,
    ManagerOnly,
  } = description;
  return {
    Hostname,
    Platform: { Architecture: Platform.Architecture, OS: Platform.OS },
    Resources: inOrder(Resources, ["NanoCPUs", "MemoryBytes", "GenericResources"]),
    Engine: inOrder(Engine, ["EngineVersion", "Labels", "Plugins"]),
    TLSInfo: TLSInfo ?? {},
    Runtimes,
    MissingRuntimes,
    AgentOnly,
    ManagerOnly,
  };
}

/** Why a manager that does its work takes no tasks, and is never "ready" for any. */
const NO_AGENT = "a manager without an agent: it runs no tasks";

/** A node's part in the quorum; undefined if it has none. */
export function managerStatus(
  { ID }: Node,
  { members, leaderNodeID }: ConsensusStatus,
): Record<string, unknown> | undefined {
  const member = members.find((each) => each.nodeID === ID);
  return member && {
    ...(leaderNodeID === ID && { Leader: true }),
    Reachability: member.reachable ? "reachable" : "unreachable",
    Addr: member.address,
  };
}

/** A node, with its part in the quorum if it has one. */
export function nodeView(node: Node, ManagerStatus?: Record<string, unknown>): Record<string, unknown> {
  const Message = node.Description?.ManagerOnly ? NO_AGENT : node.Status.Message;
  return {
    ID: node.ID,
    Version: node.Version,
    CreatedAt: node.CreatedAt,
    UpdatedAt: node.UpdatedAt,
    Spec: inOrder({ ...node.Spec, Name: node.Spec.Name || undefined }, [
      "Name",
      "Labels",
      "Role",
      "Availability",
    ]),
    Description: node.Description === undefined ? {} : descriptionView(node.Description),
    Status: {
      State: node.Status.State,
      ...(Message && { Message }),
      ...(node.Status.Addr && { Addr: node.Status.Addr }),
    },
    ManagerStatus,
  };
}
