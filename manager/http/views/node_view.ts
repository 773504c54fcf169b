/** How nodes are shown; certificates stay inside, but for the key that secrets are sealed for. */
import type { Node, NodeDescription } from "../../../api/node.ts";
import type { ShownMetrics } from "../../../api/node_metrics.ts";
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
    OverlayRuntimes,
    MissingOverlay,
    DataPathAddr,
    LocalAddr,
    Reloads,
    AgentOnly,
    ManagerOnly,
    Facts,
  } = description;
  return {
    Hostname,
    Platform: { Architecture: Platform.Architecture, OS: Platform.OS },
    Resources: inOrder(Resources, ["NanoCPUs", "MemoryBytes", "GenericResources"]),
    Engine: inOrder(Engine, ["EngineVersion", "Labels", "Plugins"]),
    TLSInfo: TLSInfo ?? {},
    Runtimes,
    MissingRuntimes,
    OverlayRuntimes,
    MissingOverlay,
    DataPathAddr,
    LocalAddr,
    Reloads,
    AgentOnly,
    ManagerOnly,
    Facts,
  };
}

/** Why a manager that does its work takes no tasks, and is never "ready" for any. */
const NO_AGENT = "a manager without an agent: it runs no tasks";

/** A node's part in the quorum; undefined if it has none. */
function managerStatus(
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

/** What a node shows of the moment: its part in the quorum, and how it is if it said so, which Docker's clients pass over. */
export function presentView(
  node: Node,
  consensus: ConsensusStatus,
  metrics: ShownMetrics | undefined,
): Record<string, unknown> {
  return { ManagerStatus: managerStatus(node, consensus), Metrics: metrics };
}

/** A node, without what {@linkcode presentView} adds. */
export function nodeView(node: Node): Record<string, unknown> {
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
    PublicKey: node.Certificate?.PublicKey,
    Description: node.Description === undefined ? {} : descriptionView(node.Description),
    Status: {
      State: node.Status.State,
      ...(Message && { Message }),
      ...(node.Status.Addr && { Addr: node.Status.Addr }),
    },
  };
}
