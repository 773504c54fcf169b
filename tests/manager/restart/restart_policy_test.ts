import assert from "node:assert/strict";
import { shouldRestart } from "../../../manager/restart/restart_policy.ts";
import type { Task } from "../../../api/task.ts";
import { task } from "../store/objects.ts";

const at = (seconds: number) => new Date(seconds * 1000).toISOString();

/** A failed task of one slot, made at `made` and run again in place at `restarts`. */
function failed(id: string, made: number, restarts: number[], Window = 0): Task {
  const base = task(id, "s", "n");
  return {
    ...base,
    CreatedAt: at(made),
    UpdatedAt: at(1000),
    Spec: { ...base.Spec, RestartPolicy: { Condition: "any", MaxAttempts: 2, Window } },
    Status: { Timestamp: at(1000), State: "failed", Message: "", Restarts: restarts.map(at) },
  };
}

Deno.test("Restart policy: restarts that a device made by itself are attempts, within the window", () => {
  const judge = (...slot: Task[]) => shouldRestart(slot.at(-1)!, slot, 1_000_000);
  assert.equal(judge(failed("a", 0, [])), true);
  assert.equal(judge(failed("a", 0, [500])), true);
  assert.equal(judge(failed("a", 0, [500, 600])), false);
  assert.equal(judge(failed("a", 0, [500]), failed("b", 700, [])), false);
  const window = 300e9;
  assert.equal(judge(failed("a", 0, [500, 600], window)), true);
  assert.equal(judge(failed("a", 0, [500, 600, 750, 800], window)), false);
});
