/** How nodes are shown; certificates stay inside, but for the key that secrets are sealed for. */
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
    Reloads,
    AgentOnly,
    ManagerOnly,
  } = description;
  return inOrder({
    Hostname,
    Platform: { Architecture: Platform.Architecture, OS: Platform.OS },
    Resources: inOrder(Resources, ["NanoCPUs", "MemoryBytes", "GenericResources"]),
    Engine: inOrder(Engine, ["EngineVersion", "Labels", "Plugins"]),
    TLSInfo: TLSInfo ?? {},
    Runtimes,
    MissingRuntimes,
    Reloads,
    AgentOnly,
    ManagerOnly,
  }, []);
}

/** Why a manager that does its work takes no tasks, and is never "ready" for any. */
const NO_AGENT = "a manager without an agent: it runs no tasks";

/** A node, with its part in the quorum if it has one. */
export function nodeView(node: Node, consensus: ConsensusStatus): Record<string, unknown> {
  const member = consensus.members.find((each) => each.nodeID === node.ID);
  const isLeader = consensus.leaderNodeID === node.ID;
  const Message = node.Description?.ManagerOnly ? NO_AGENT : node.Status.Message;
  return inOrder({
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
    PublicKey: node.Certificate?.PublicKey,
    Description: node.Description === undefined ? {} : descriptionView(node.Description),
    Status: {
      State: node.Status.State,
      ...(Message && { Message }),
      ...(node.Status.Addr && { Addr: node.Status.Addr }),
    },
    ManagerStatus: member && {
      ...(isLeader && { Leader: true }),
      Reachability: member.reachable ? "reachable" : "unreachable",
      Addr: member.address,
    },
  }, []);
}
