/** Rules that can be said twice: each against a naive twin, on random input. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { applyConfChange, confChangeProblem, isJoint, members } from "../../../manager/raft/conf_change.ts";
import { majority, quorumIndex, voteResult } from "../../../manager/raft/quorum.ts";
import { Unstable } from "../../../manager/raft/unstable.ts";
import {
  type ConfState,
  EMPTY_CONF_STATE,
  type Entry,
  type MemberChange,
} from "../../../manager/raft/mod.ts";

const ids = fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { maxLength: 7 });
const someIDs = fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 7 });
const acks = fc.array(fc.nat(6), { minLength: 10, maxLength: 10 });
const RUNS = { numRuns: 500 };

/** The largest index that more than half of `voters` reached, found by trying all. */
function naiveIndex(voters: number[], ack: number[]): number {
  for (let index = 6; index > 0; index--) {
    if (voters.filter((id) => ack[id]! >= index).length * 2 > voters.length) return index;
  }
  return 0;
}

Deno.test("quorumIndex: equals trying all indexes, in both halves", () => {
  fc.assert(
    fc.property(someIDs, ids, acks, (voters, votersOutgoing, ack) => {
      const expected = votersOutgoing.length === 0
        ? naiveIndex(voters, ack)
        : Math.min(naiveIndex(voters, ack), naiveIndex(votersOutgoing, ack));
      assert.equal(quorumIndex({ voters, votersOutgoing }, (id) => ack[id]!), expected);
    }),
    RUNS,
  );
});

Deno.test("voteResult: is won if all completions win, lost if none does", () => {
  const votes = fc.array(fc.constantFrom(true, false, undefined), { minLength: 10, maxLength: 10 });
  const wins = (voters: number[], granted: (id: number) => boolean) =>
    voters.length === 0 || voters.filter(granted).length * 2 > voters.length;
  fc.assert(
    fc.property(someIDs, ids, votes, (voters, votersOutgoing, vote) => {
      const both = (open: boolean) =>
        wins(voters, (id) => vote[id] ?? open) && wins(votersOutgoing, (id) => vote[id] ?? open);
      const expected = both(false) ? "won" : both(true) ? "pending" : "lost";
      assert.equal(voteResult({ voters, votersOutgoing }, (id) => vote[id]), expected);
    }),
    RUNS,
  );
});

const change = fc.record({
  op: fc.constantFrom<MemberChange["op"][]>("add_voter", "add_learner", "remove"),
  id: fc.integer({ min: 1, max: 9 }),
});

/** What the members should be, from a plain map of id to role. */
function naiveChange(roles: Map<number, string>, changes: MemberChange[]): Map<number, string> {
  const next = new Map(roles);
  for (const { op, id } of changes) {
    if (op === "remove") next.delete(id);
    else next.set(id, op === "add_voter" ? "voter" : "learner");
  }
  return next;
}

function rolesOf(conf: ConfState): Map<number, string> {
  return new Map([
    ...conf.voters.map((id) => [id, "voter"] as const),
    ...conf.learners.map((id) => [id, "learner"] as const),
  ]);
}

const byID = (roles: Map<number, string>) => [...roles].sort(([a], [b]) => a - b);

/** Every majority of one meets every majority of the other. */
function overlap(a: readonly number[], b: readonly number[]): boolean {
  const common = a.filter((id) => b.includes(id)).length;
  return majority(a.length) + majority(b.length) > a.length + b.length - common;
}

Deno.test("applyConfChange: any sequence of valid changes ends as in a plain map, by steps whose majorities meet", () => {
  const batches = fc.array(fc.array(change, { minLength: 1, maxLength: 4 }), { maxLength: 8 });
  fc.assert(
    fc.property(someIDs, batches, (voters, batches) => {
      let conf: ConfState = { ...EMPTY_CONF_STATE, voters: [...voters].sort() };
      for (const changes of batches) {
        if (confChangeProblem(conf, changes) !== null) continue;
        const before = conf;
        const expected = naiveChange(rolesOf(conf), changes);
        conf = applyConfChange(conf, { kind: "change", changes });
        if (isJoint(conf)) {
          assert.deepEqual(conf.votersOutgoing, before.voters);
          assert.equal(confChangeProblem(conf, changes), "a joint change is in progress");
          assert.ok(conf.learners.every((id) => !before.voters.includes(id)), "no voter is a learner");
          conf = applyConfChange(conf, { kind: "leave_joint" });
        } else {
          assert.ok(overlap(before.voters, conf.voters), `${before.voters} and ${conf.voters} meet`);
        }
        assert.deepEqual(byID(rolesOf(conf)), byID(expected));
        const gone = members(before).filter((id) => !expected.has(id));
        assert.deepEqual([...conf.removed].sort(), [...before.removed, ...gone].sort());
      }
    }),
    RUNS,
  );
});

/** A log as two arrays: what is in memory, and what a disk would hold that finishes one write at a time. */
class NaiveLog {
  log: Entry[] = [];
  disk: Entry[] = [];
  batch: Entry[] | null = null;

  get stable(): number {
    const differs = this.log.findIndex((entry, i) => this.disk[i] !== entry);
    return differs < 0 ? this.log.length : differs;
  }
}

Deno.test("Unstable: never counts as stored what the disk does not hold, whatever is overwritten meanwhile", () => {
  const deed = fc.oneof(
    fc.record({
      kind: fc.constant("append" as const),
      back: fc.nat(4),
      count: fc.integer({ min: 1, max: 3 }),
    }),
    fc.record({ kind: fc.constantFrom("start" as const, "finish" as const) }),
  );
  fc.assert(
    fc.property(fc.array(deed, { maxLength: 40 }), (deeds) => {
      const unstable = new Unstable(1);
      const naive = new NaiveLog();
      let term = 1;
      for (const deed of deeds) {
        if (deed.kind === "append") {
          const from = Math.max(1, naive.log.length + 1 - deed.back);
          term++;
          const entries = Array.from({ length: deed.count }, (_, i) => ({
            index: from + i,
            term,
            type: "normal" as const,
            data: new Uint8Array(0),
          }));
          unstable.replace(entries);
          naive.log = [...naive.log.slice(0, from - 1), ...entries];
        } else if (deed.kind === "start" && naive.batch === null) {
          naive.batch = unstable.startWrite().entries;
        } else if (deed.kind === "finish" && naive.batch !== null) {
          const first = naive.batch[0];
          if (first) naive.disk = [...naive.disk.slice(0, first.index - 1), ...naive.batch];
          naive.batch = null;
          unstable.finishWrite();
        }
        assert.ok(
          unstable.offset - 1 <= naive.stable,
          `${unstable.offset - 1} counts as stored of ${naive.stable}`,
        );
        assert.equal(unstable.lastIndex, naive.log.length);
      }
    }),
    RUNS,
  );
});
