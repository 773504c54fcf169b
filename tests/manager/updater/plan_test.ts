/** The plan against a fleet that does as it likes: whatever happens, some things never do. */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { Rollout } from "../../../api/rollout.ts";
import { type Action, nextStage, plan, type PlanState } from "../../../manager/updater/plan.ts";
import type { Policy, StagePolicy } from "../../../manager/updater/policy.ts";
import type { SlotFacts } from "../../../manager/updater/slot_facts.ts";

const STEPS = 60, STEP_MS = 1000;

const TIMES = { nowMs: 0, sinceMs: 0, stageStartedMs: 0, bakeStartedMs: 0 };
const ROLLOUT: Rollout = {
  Number: 7,
  SpecVersion: 7,
  State: "rolling",
  Stage: 0,
  StageStartedAt: new Date(0).toISOString(),
  Total: 0,
  Done: 0,
  Failed: 0,
  Failures: [],
  Deferred: 0,
  Returned: { Total: 0, Failed: 0 },
};

function slot(place: string, matches: number[]): SlotFacts {
  return {
    key: `s/${place}`,
    place,
    deferred: undefined,
    report: undefined,
    pending: false,
    prepared: false,
    swapping: false,
    dirty: true,
    runningMs: undefined,
    crowded: false,
    copies: false,
    stage: undefined,
    returned: false,
    first: undefined,
    last: undefined,
    unreachable: false,
    oldRunningMs: -Infinity,
    groups: [],
    matches,
  };
}

const stage = fc.record({
  share: fc.constantFrom(0.1, 0.25, undefined),
  success: fc.constant(0),
  failure: fc.constantFrom(0, 0.5),
  bakeMs: fc.constantFrom(0, 3000),
  timeoutMs: fc.constantFrom(0, 30_000),
  manual: fc.boolean(),
});
const LAST: StagePolicy = { share: 1, success: 0, failure: 0, bakeMs: 0, timeoutMs: 0, manual: false };

const policies: fc.Arbitrary<Policy> = fc.record({
  parallelism: fc.constantFrom(1, 3, Infinity),
  delayMs: fc.constantFrom(0, 2000),
  monitorMs: fc.constantFrom(1000, 5000),
  action: fc.constantFrom("pause", "rollback"),
  ratio: fc.constantFrom(0, 0.3),
  startFirst: fc.constant(false),
  rollback: fc.constant(false),
  stages: fc.array(stage, { maxLength: 2 }).map((stages) => [...stages, LAST]),
  maxReturneeFailures: fc.constantFrom(undefined, 0, 2),
});

/** What the fleet, and whoever is in charge, do at one step: to one place, in many ways. */
interface Deed {
  kind: "runs" | "fails" | "leaves" | "returns" | "promote" | "abort" | "wait";
  at: number;
}
const deeds = fc.array(
  fc.record({
    kind: fc.constantFrom(
      "runs" as const,
      "runs" as const,
      "runs" as const,
      "fails" as const,
      "leaves" as const,
      "returns" as const,
      "promote" as const,
      "wait" as const,
      "abort" as const,
    ),
    at: fc.nat(29),
  }),
  { minLength: STEPS, maxLength: STEPS },
);

class Model {
  state: PlanState;
  replaced = new Map<string, number>();

  constructor(count: number, readonly policy: Policy) {
    const slots = Array.from({ length: count }, (_, i) => slot(String(i), i % 5 === 0 ? [0, 1] : []));
    this.state = {
      times: TIMES,
      date: ROLLOUT.StageStartedAt,
      rollout: ROLLOUT,
      slots,
      absent: [],
      hasPrevious: true,
    };
  }

  get nowMs(): number {
    return this.state.times.nowMs;
  }

  /** Time goes on, for one who saw everything begin. */
  step(): void {
    const nowMs = this.nowMs + STEP_MS,
      { StageStartedAt, BakeStartedAt = StageStartedAt } = this.state.rollout;
    const times = {
      nowMs,
      sinceMs: 0,
      stageStartedMs: Date.parse(StageStartedAt),
      bakeStartedMs: Date.parse(BakeStartedAt),
    };
    this.state = { ...this.state, times, date: new Date(nowMs).toISOString() };
  }

  change(at: number, change: (slot: SlotFacts) => SlotFacts): void {
    const slots = this.state.slots.map((each, i) => i === at % this.state.slots.length ? change(each) : each);
    this.state = { ...this.state, slots };
  }

  do(action: Action): void {
    if (action.do === "record") this.state = { ...this.state, rollout: action.rollout };
    else if (action.do === "replace") {
      const at = this.state.slots.findIndex(({ key }) => key === action.key);
      this.replaced.set(action.key, (this.replaced.get(action.key) ?? 0) + 1);
      this.change(at, (each) => ({
        ...each,
        dirty: false,
        stage: action.stage,
        returned: action.returned,
        first: { id: action.key, state: "starting", sinceMs: this.nowMs, ranMs: -1, watchedMs: this.nowMs },
      }));
    }
  }

  deed({ kind, at }: Deed): void {
    const { nowMs, state: { rollout, date } } = this;
    const since = { sinceMs: nowMs, ranMs: -1, watchedMs: nowMs };
    const on = (state: "running" | "failed") => (each: SlotFacts): SlotFacts =>
      each.first?.state !== "starting" || each.deferred ? each : {
        ...each,
        first: { ...each.first, state, ...since },
        ...(state === "running" && { runningMs: nowMs }),
      };
    if (kind === "runs") { for (let i = 0; i < this.state.slots.length; i++) this.change(i, on("running")); }
    else if (kind === "fails") this.change(at, on("failed"));
    else if (kind === "leaves") this.change(at, (each) => ({ ...each, deferred: "offline" }));
    else if (kind === "returns") this.change(at, (each) => ({ ...each, deferred: undefined }));
    else if (kind === "promote" && rollout.State === "awaiting_promotion") {
      this.state = { ...this.state, rollout: { ...rollout, ...nextStage(rollout, date) } };
    } else if (kind === "abort" && at < 2) {
      this.state = { ...this.state, rollout: { ...rollout, State: "aborted" } };
    }
  }

  get inFlight(): number {
    return this.state.slots.filter((each) => each.first?.state === "starting" && !each.deferred).length;
  }
}

function check(model: Model, before: PlanState, actions: readonly Action[]): void {
  const { policy } = model, { rollout } = before;
  const replaced = actions.filter((action) => action.do === "replace");
  const held = ["paused", "timed_out", "aborted"].includes(rollout.State);
  if (held) assert.deepEqual(actions, [], `a rollout that is ${rollout.State} does nothing`);
  if (["baking", "awaiting_promotion"].includes(rollout.State)) assert.deepEqual(replaced, []);
  if (replaced.length > 0) {
    const flying = before.slots.filter((each) => each.first?.state === "starting" && !each.deferred).length;
    assert.ok(flying + replaced.length <= policy.parallelism, "no more than parallelism in flight");
  }
  for (const action of replaced) {
    const { deferred, matches } = before.slots.find(({ key }) => key === action.key)!;
    assert.equal(deferred, undefined, "nothing is replaced on a device that is not there");
    assert.equal(
      action.returned,
      rollout.State === "completed",
      "who comes back after the end is a returnee",
    );
    const { share } = policy.stages[action.stage]!;
    if (share === undefined) assert.ok(matches.includes(action.stage), "a stage by constraint is kept to");
  }
  if (replaced.some(({ returned }) => returned)) {
    const failed = rollout.Failures.filter(({ Returned }) => Returned).length;
    const cap = policy.maxReturneeFailures ?? Math.floor(policy.ratio * rollout.Total);
    assert.ok(failed <= cap, "returnees are gated");
  }
  for (const action of actions) {
    if (action.do !== "record" || action.rollout.Stage === rollout.Stage) continue;
    const failed = rollout.Failures.filter(({ Stage, Returned }) =>
      Stage === rollout.Stage && !Returned
    ).length;
    const reached = before.slots.filter((each) => each.stage === rollout.Stage && !each.returned).length;
    const { failure } = policy.stages[rollout.Stage]!;
    assert.ok(failed === 0 || failed / reached <= failure, "never past a failed stage");
    assert.equal(action.rollout.Stage, rollout.Stage + 1);
  }
}

Deno.test("Plan: whatever a fleet does, parallelism, stages, aborts and the cap on returnees hold", () => {
  fc.assert(
    fc.property(policies, fc.integer({ min: 1, max: 30 }), deeds, (policy, count, list) => {
      const model = new Model(count, policy);
      for (const deed of list) {
        const before = model.state;
        const { actions } = plan(before, policy);
        // A new leader has nothing but the same store.
        assert.deepEqual(plan(structuredClone(before), policy).actions, actions);
        check(model, before, actions);
        for (const action of actions) model.do(action);
        if (actions.some((action) => action.do === "roll_back")) return;
        model.deed(deed);
        model.step();
        assert.ok([...model.replaced.values()].every((times) => times === 1), "a place is replaced once");
      }
    }),
    { numRuns: 400 },
  );
});

Deno.test("Plan: where nothing fails every rollout comes to its end, and then rests", () => {
  fc.assert(
    fc.property(policies, fc.integer({ min: 5, max: 30 }), (policy, count) => {
      const model = new Model(count, policy);
      for (let step = 0; step < 500; step++) {
        const { actions, over } = plan(model.state, policy);
        for (const action of actions) model.do(action);
        if (over && model.state.rollout.State !== "rolling") break;
        model.deed({ kind: "runs", at: 0 });
        model.deed({ kind: "promote", at: 0 });
        model.step();
      }
      const { State, Done } = model.state.rollout;
      if (State === "timed_out") return;
      assert.equal(State, "completed");
      assert.equal(Done, count);
      assert.deepEqual(plan(model.state, policy).actions, []);
    }),
    { numRuns: 200 },
  );
});

Deno.test("Plan: a canary reaches its share of the devices that are there, and no more", () => {
  const policy: Policy = {
    parallelism: Infinity,
    delayMs: 0,
    monitorMs: 5000,
    action: "pause",
    ratio: 0,
    startFirst: false,
    rollback: false,
    stages: [{ ...LAST, share: 0.1, success: 1 }, LAST],
    maxReturneeFailures: undefined,
  };
  const model = new Model(30, policy);
  for (let at = 0; at < 10; at++) model.deed({ kind: "leaves", at });
  const { actions } = plan(model.state, policy);
  for (const action of actions) model.do(action);
  assert.equal(model.inFlight, 2);
  model.deed({ kind: "fails", at: model.state.slots.findIndex(({ first }) => first !== undefined) });
  for (const action of plan(model.state, policy).actions) model.do(action);
  assert.equal(model.state.rollout.State, "paused");
  for (let at = 0; at < 10; at++) model.deed({ kind: "returns", at });
  assert.deepEqual(plan(model.state, policy).actions, []);
});

Deno.test("Plan: a rollout that is through is not over while a device that is away is to be tried again", () => {
  const policy: Policy = {
    parallelism: 1,
    delayMs: 0,
    monitorMs: 1000,
    action: "pause",
    ratio: 0,
    startFirst: false,
    rollback: false,
    stages: [LAST],
    maxReturneeFailures: undefined,
  };
  const away: SlotFacts = { ...slot("a", [0]), deferred: "offline" };
  const rollout: Rollout = { ...ROLLOUT, State: "completed", Ended: true, Deferred: 1 };
  const asked = (Retry: string[] | undefined, slots: SlotFacts[]) =>
    plan(
      {
        rollout: { ...rollout, ...(Retry && { Retry }) },
        slots,
        times: TIMES,
        date: "",
        absent: [],
        hasPrevious: true,
      },
      policy,
    );
  assert.equal(asked(undefined, [away]).over, true);
  assert.equal(asked(["a"], [away]).over, false);
  const back = asked(["a"], [{ ...away, deferred: undefined }]);
  assert.ok(back.actions.some((action) => action.do === "replace" && action.key === "s/a"));
});
