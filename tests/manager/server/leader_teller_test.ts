import assert from "node:assert/strict";
import { leaderTeller } from "../../../manager/server/leader_teller.ts";

Deno.test("Leader teller: says each change of the leader once, and the lack of one", () => {
  const lines: string[] = [];
  const tell = leaderTeller("a", (level, line) => lines.push(`${level}: ${line}`));
  const member = (nodeID: string) => ({ nodeID, address: "192.0.2.1:2377", reachable: true });
  const members = [member("a"), member("b"), member("c")] as Parameters<typeof tell>[0]["members"];
  for (const leaderNodeID of [undefined, "b", "b", undefined, undefined, "a"]) {
    tell({ leaderNodeID, members });
  }
  assert.deepEqual(lines, [
    "info: Manager b leads",
    "warn: No manager leads: more than half of 3 must reach each other",
    "info: This manager leads",
  ]);
});
