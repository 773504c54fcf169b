/** How a manager that could not join is forgotten: its member, if there is one, and its node. */
import { CoveyError } from "../../api/errors.ts";
import type { RaftMembershipResponse } from "../../api/raft.ts";
import type { Method } from "../../transport/mod.ts";
import type { RaftMember } from "../consensus/member/mod.ts";
import type { Store } from "../store/store.ts";

/**
 * The leader's answer to `raft.withdraw`; others name the leader. A node that has had a session stays, as one that leaves
 * does. May be called again. Throws as `RaftMember.removeNode` does.
 */
export function withdrawMethod(consensus: RaftMember, store: Store): Method {
  return {
    kind: "unary",
    access: "manager",
    handler: async (_request, { peer }): Promise<RaftMembershipResponse> => {
      const { nodeID } = peer!;
      const elsewhere = leaderOf(consensus);
      if (elsewhere) return elsewhere;
      await consensus.removeNode(nodeID);
      await store.update((tx) => {
        const node = tx.get("nodes", nodeID);
        if (node && node.Description === undefined) tx.delete("nodes", nodeID);
      });
      return {};
    },
  };
}

/** Whom to ask instead; undefined on the leader. Throws `unavailable` while there is none. */
function leaderOf(consensus: RaftMember): RaftMembershipResponse | undefined {
  const { isLeader, leaderNodeID, members } = consensus.status();
  if (isLeader) return undefined;
  const leader = members.find(({ nodeID }) => nodeID === leaderNodeID);
  if (leader) return { Leader: { NodeID: leader.nodeID, Addr: leader.address } };
  throw new CoveyError("unavailable", "Cannot forget a manager: there is no leader at the moment");
}
