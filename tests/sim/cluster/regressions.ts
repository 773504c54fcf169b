/** Seeds that violated a property once, and the bug that each found. They stand for what happened at that commit. */
export interface Regression {
  seed: number;
  /** The tree at which the seed failed; a seed means nothing without it. */
  commit: string;
  rule: string;
  /** What was wrong. */
  found: string;
  /** The test that holds it, without the simulation. */
  test: string;
}

/** See {@linkcode Regression}. */
export const REGRESSIONS: readonly Regression[] = [
  {
    seed: 30,
    commit: "51aa4f6",
    rule: "CRASH",
    found: "a join ended for good when the leader lost its leadership while it added the member",
    test: "tests/manager/consensus/membership/membership_client_test.ts",
  },
  {
    seed: 4,
    commit: "719a81b",
    rule: "LV",
    found: "a new leader counted voters that it had never heard of, and removed one that was needed",
    test: "tests/manager/raft/testdata/48_new_leader_knows_nobody.txt",
  },
  {
    seed: 28,
    commit: "719a81b",
    rule: "LV",
    found:
      "a checkpoint without its list of members was taken for good: a member saw itself as the only voter",
    test: "tests/manager/consensus/disk/disk_storage_test.ts",
  },
  {
    seed: 39,
    commit: "719a81b",
    rule: "LV",
    found: "a task prepared for another run when the agent ended was taken for running, for ever",
    test: "tests/agent/rerun_test.ts",
  },
  {
    seed: 84,
    commit: "a46725f",
    rule: "LV",
    found: "a learner that was removed while it was cut off waited for the leader, and nobody told it",
    test: "tests/manager/consensus/member/quorum_test.ts",
  },
  {
    seed: 1277,
    commit: "77f37f0",
    rule: "LV",
    found: "a session that waited for a majority expired, and its agent took itself for removed",
    test: "tests/manager/dispatcher/dispatcher_test.ts",
  },
  {
    seed: 21478,
    commit: "7036eb4",
    rule: "LV",
    found: "a removed manager was told so by none of those that it knew, as all had come back as new members",
    test: "tests/manager/consensus/member/quorum_test.ts",
  },
  {
    seed: 27449,
    commit: "0ebfe44",
    rule: "LV",
    found:
      "of two managers one heard that it was removed before the other had stored that, and needed its vote again",
    test: "tests/manager/raft/testdata/42_removal_is_told_once_stored.txt",
  },
  {
    seed: 24335,
    commit: "9a4694a",
    rule: "LV",
    found:
      "a leader that committed its own removal was gone before the other manager knew, which needed its vote",
    test: "tests/manager/consensus/member/quorum_test.ts",
  },
  {
    seed: 2078,
    commit: "434f317",
    rule: "LV",
    found:
      "a member that asked again, because its answer was lost, was told that it is not in while it was counted on",
    test: "tests/manager/consensus/membership/membership_changes_test.ts",
  },
  {
    seed: 24205,
    commit: "e898611",
    rule: "RO",
    found: "a clock that was set forward ended the monitor period of a canary that failed a moment later",
    test: "tests/manager/updater/watch_test.ts",
  },
  {
    seed: 44491,
    commit: "6247e94",
    rule: "RO",
    found:
      "a rollout by stages that had no device left was over, and who came back had what nobody had proved",
    test: "tests/manager/updater/stages_test.ts",
  },
  {
    seed: 95093,
    commit: "c80d358",
    rule: "RO",
    found: "a version by stages that was overtaken before it began passed for proven",
    test: "tests/manager/updater/stages_test.ts",
  },
];
