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

Deno.test("Restart policy: what was tried before a rollback to the same version is not held against it", () => {
  const of = (Index: number, base: Task, Number: number, Restarted?: true): Task => ({
    ...base,
    SpecVersion: { Index },
    Rollout: { Number, Stage: 0, ...(Restarted && { Restarted }) },
  });
  const judge = (...slot: Task[]) => shouldRestart(slot.at(-1)!, slot, 1_000_000);
  const before = [of(1, failed("a", 0, []), 10), of(1, failed("b", 100, [150]), 10, true)];
  assert.equal(judge(...before), false);
  const back = [...before, of(2, failed("c", 200, []), 20), of(1, failed("d", 300, []), 30)];
  assert.equal(judge(...back), true);
  // The device's own attempts and the manager's count from there on as ever.
  const again = [...back, of(1, failed("e", 400, []), 30, true)];
  assert.equal(judge(...again), true);
  assert.equal(judge(...again, of(1, failed("f", 500, []), 30, true)), false);
  assert.equal(judge(...back, of(1, failed("e", 400, [450]), 30, true)), false);
});
