/** Who leads, for the log: the first thing to look for when a manager answers nothing. */
import type { ConsensusStatus } from "../consensus/consensus.ts";

/** What the teller looks at. */
type Seen = Pick<ConsensusStatus, "leaderNodeID" | "members">;

/** Says of each status whose leader is another than before one line, `nodeID` being this manager. Nothing before the first. */
export function leaderTeller(
  nodeID: string,
  say: (level: "info" | "warn", line: string) => void,
): (status: Seen) => void {
  let before: string | undefined;
  return ({ leaderNodeID: leader, members }) => {
    if (leader === before) return;
    before = leader;
    if (leader === nodeID) say("info", "This manager leads");
    else if (leader !== undefined) say("info", `Manager ${leader} leads`);
    else say("warn", `No manager leads: more than half of ${members.length} must reach each other`);
  };
}
