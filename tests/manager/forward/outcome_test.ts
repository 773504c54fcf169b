import assert from "node:assert/strict";
import { CoveyError, type ErrorReason } from "../../../api/errors.ts";
import { notLeading } from "../../../manager/consensus/mod.ts";
import { fateOf } from "../../../manager/forward/outcome.ts";

const failed = (reason?: ErrorReason, words = "Cannot call x: odd") =>
  new CoveyError("unavailable", words, { reason });

Deno.test("Outcome: what became of a call is in the error's reason, whatever its words", () => {
  assert.equal(fateOf(failed("outcome_unknown")), "unknown");
  assert.equal(fateOf(failed("unsent")), "unsent");
  assert.equal(fateOf(notLeading("propose", "the leader has changed")), "not_leader");
  assert.equal(fateOf(failed(undefined, "Cannot call x: it broke, outcome unknown")), "answered");
  assert.equal(fateOf(failed(undefined, "Cannot call x: it broke, the request was not sent")), "answered");
  assert.equal(fateOf(failed(undefined, "Cannot propose: this manager is not the leader")), "answered");
});
