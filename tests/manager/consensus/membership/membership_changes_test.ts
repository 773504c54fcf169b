/** How the leader changes the membership. */
import assert from "node:assert/strict";
import { CoveyError, hasCode } from "../../../../api/errors.ts";
import type { MemberAddress } from "../../../../manager/consensus/disk/disk_storage.ts";
import { MemberTable } from "../../../../manager/consensus/membership/member_table.ts";
import {
  MembershipChanges,
  type MembershipDriver,
} from "../../../../manager/consensus/membership/membership_changes.ts";
import { EMPTY_CONF_STATE, type MemberChange } from "../../../../manager/raft/mod.ts";
import { FakeClock } from "../../../support/fake_clock.ts";

const SELF: MemberAddress = { memberID: 1, nodeID: "m1", address: "m1:2377" };
const OTHER: MemberAddress = { memberID: 2, nodeID: "m2", address: "m2:2377" };

/** A leader among `members`, which can reach nobody; what it proposes is noted. */
function cutOff(...members: MemberAddress[]): { changes: MembershipChanges; proposed: MemberChange[] } {
  const table = new MemberTable(), proposed: MemberChange[] = [];
  table.replace(members);
  const driver: MembershipDriver = {
    confState: { ...EMPTY_CONF_STATE, voters: members.map(({ memberID }) => memberID) },
    members: table,
    serving: true,
    status: () => assert.fail("nobody asks"),
    proposeAddress: () => assert.fail("no address is new"),
    changeMembers: (changes) => {
      proposed.push(...changes);
      return { ok: false, reason: "invalid", detail: "none" };
    },
    transferLeadership: () => false,
  };
  const dialer = { dial: () => Promise.reject(new CoveyError("unavailable", "Cannot connect")) };
  const changes = new MembershipChanges({
    driver,
    self: SELF,
    clock: new FakeClock(),
    dialer,
    learned: () => undefined,
  });
  return { changes, proposed };
}

Deno.test("Membership: a member that asks again is in, also while it cannot be reached (simulation seed 2078)", async () => {
  const { changes, proposed } = cutOff(SELF, OTHER);
  await changes.add(OTHER);
  assert.deepEqual(proposed, []);
});

Deno.test("Membership: who cannot be reached is not added, and does not move", async () => {
  const { changes, proposed } = cutOff(SELF, OTHER);
  for (const member of [{ ...OTHER, memberID: 3, nodeID: "m3" }, { ...OTHER, address: "elsewhere:2377" }]) {
    await assert.rejects(changes.add(member), (e) => hasCode(e, "failed_precondition"));
  }
  assert.deepEqual(proposed, []);
});
