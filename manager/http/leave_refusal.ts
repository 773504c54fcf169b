/** Why a node may not leave its swarm without `--force`, in Docker's words (moby `cluster/swarm.go`). */
import { LEAVING_AS_MANAGER, NOT_IN_SWARM, REMOVING_LAST_MANAGER } from "../../api/docker_texts.ts";
import type { NodeLifecycle } from "./lifecycle.ts";

const RESTORE = "The only way to restore a swarm that has lost consensus is to reinitialize it with " +
  "`--force-new-cluster`. Use `--force` to suppress this message.";

/** The refusal, or undefined if the node may leave. */
export function leaveRefusal(lifecycle: NodeLifecycle, force: boolean): string | undefined {
  if (lifecycle.state === "inactive") return NOT_IN_SWARM;
  if (force) return undefined;
  if (lifecycle.state === "locked") {
    return "Swarm is encrypted and locked. Please unlock it first or use `--force` to ignore this message.";
  }
  const { manager } = lifecycle;
  if (manager === undefined) return undefined;
  const { members, leaderNodeID } = manager.consensus.status();
  if (leaderNodeID === undefined) {
    return `${LEAVING_AS_MANAGER}Doing so may lose the consensus of your cluster. ${RESTORE}`;
  }
  const reachable = members.filter((member) => member.reachable).length;
  const unreachable = members.length - reachable;
  if (reachable === 1 && unreachable === 0) {
    return `${LEAVING_AS_MANAGER}${REMOVING_LAST_MANAGER} `;
  }
  if (reachable - 2 > unreachable) return LEAVING_AS_MANAGER + RESTORE;
  return `${LEAVING_AS_MANAGER}Removing this node leaves ${
    reachable - 1
  } managers out of ${members.length}. ` +
    `Without a Raft quorum your swarm will be inaccessible. ${RESTORE}`;
}
