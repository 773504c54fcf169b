/** How a manager asks for its own membership. */
import assert from "node:assert/strict";
import { CoveyError } from "../../../../api/errors.ts";
import { callLeader } from "../../../../manager/consensus/membership/membership_client.ts";
import type { Connection, Dialer } from "../../../../transport/mod.ts";
import { FakeClock } from "../../../support/fake_clock.ts";

/** A dialer whose connections answer one call after another with `answers`. */
function answering(answers: (() => unknown)[]): Dialer {
  const call = () => Promise.try(() => answers.shift()!());
  return { dial: () => Promise.resolve({ call, close: () => {} } as unknown as Connection) };
}

async function ask(answers: (() => unknown)[]): Promise<void> {
  const clock = new FakeClock();
  const asked = callLeader({
    dialer: answering(answers),
    clock,
    addresses: () => ["m1:2377"],
    method: "raft.join",
    request: {},
    timeoutMs: 10_000,
  });
  asked.catch(() => {});
  await clock.advance(1_000);
  await asked;
}

Deno.test("Membership: asks again when the leader lost its leadership before it knew the outcome (simulation seed 30)", async () => {
  const unknown = () => {
    throw new CoveyError("unknown", "Cannot tell the outcome: leadership was lost before the commit");
  };
  await ask([unknown, () => ({})]);
});

Deno.test("Membership: a refusal is final", async () => {
  const refuse = () => {
    throw new CoveyError("failed_precondition", "Cannot add manager m2: member 7 was removed");
  };
  await assert.rejects(ask([refuse, () => ({})]), /member 7 was removed/);
});
