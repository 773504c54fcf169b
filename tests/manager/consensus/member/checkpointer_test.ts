import { deepStrictEqual, strictEqual } from "node:assert/strict";
import type { StateMachine } from "../../../../manager/consensus/state_machine.ts";
import { EMPTY_CONF_STATE } from "../../../../manager/raft/mod.ts";
import { Checkpointer } from "../../../../manager/consensus/member/checkpointer.ts";
import type { CheckpointPace, RaftDisk } from "../../../../manager/consensus/disk/raft_disk.ts";

const LIMITS = { entries: 10, bytes: 1_000 };

/** A checkpointer that has just begun a checkpoint, which lasts until `finish`. */
function begun() {
  let [index, checkpoints] = [10, 0];
  let pace: CheckpointPace;
  const done = Promise.withResolvers<void>();
  const disk = {
    checkpointIndex: 0,
    checkpoint(_index: number, _dirty: unknown, _membership: unknown, given: CheckpointPace) {
      checkpoints++;
      pace = given;
      return done.promise;
    },
  };
  const checkpointer = new Checkpointer({
    disk: disk as unknown as RaftDisk,
    machine: { takeDirty: () => [] } as unknown as StateMachine,
    limits: LIMITS,
    index: () => index,
    membership: () => ({ confState: EMPTY_CONF_STATE, addresses: [] }),
    keepFrom: () => Infinity,
    failed: (error) => {
      throw error;
    },
  });
  checkpointer.consider();
  return {
    checkpointer,
    finish: done.resolve,
    count: () => checkpoints,
    hurries: () => pace.hurries(),
    apply: (entries: number, bytes: number) => {
      index += entries;
      checkpointer.applied(bytes);
      checkpointer.consider();
    },
  };
}

Deno.test("Checkpointer: a checkpoint takes its time until the next one is due, by entries or by bytes", () => {
  for (const [entries, bytes] of [[10, 0], [1, 1_000]] as const) {
    const { apply, hurries, count } = begun();
    apply(entries - 1, bytes - 1);
    strictEqual(hurries(), false);
    apply(1, 1);
    deepStrictEqual([hurries(), count()], [true, 1]);
  }
});

Deno.test("Checkpointer: one that is waited for hurries, and no other follows", async () => {
  const { checkpointer, apply, finish, hurries, count } = begun();
  const held = checkpointer.hold();
  strictEqual(hurries(), true);
  finish();
  await held;
  apply(10, 1_000);
  strictEqual(count(), 1);
});
