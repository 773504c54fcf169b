import assert from "node:assert/strict";
import { afterError, afterSuccess, nextStep } from "../../agent/advance.ts";
import { callBackoff, sessionBackoff } from "../../agent/backoff.ts";
import { localRestartDelay } from "../../agent/local_restart.ts";
import { Managers } from "../../agent/managers.ts";
import { parseAgentOptions } from "../../agent/options.ts";
import { MAX_PLACE_MS, StartLimiter } from "../../agent/start_limiter.ts";
import { StatusReporter } from "../../agent/status_reporter.ts";
import { CoveyError, hasCode } from "../../api/errors.ts";
import { TASK_STATES, type TaskState } from "../../api/task_state.ts";
import type { TaskStatus } from "../../api/task.ts";
import { seededRandom } from "../manager/dispatcher/harness.ts";
import { FakeClock, settle } from "../support/fake_clock.ts";

Deno.test("advance: every state but an end leads on, and shutdown is always one call away", () => {
  const states = Object.keys(TASK_STATES) as TaskState[];
  for (const state of states.filter((s) => TASK_STATES[s] <= TASK_STATES.running)) {
    const step = nextStep("running", state);
    assert.notEqual(step.kind, "idle", state);
    if (step.kind === "move") assert.ok(TASK_STATES[step.state] > TASK_STATES[state]);
    assert.deepEqual(nextStep("shutdown", state), { kind: "call", call: "shutdown" });
    assert.deepEqual(nextStep("remove", state), { kind: "call", call: "shutdown" });
  }
  for (const state of states.filter((s) => TASK_STATES[s] > TASK_STATES.running)) {
    assert.equal(nextStep("remove", state).kind, "idle");
  }
});

Deno.test("advance: errors end a task as rejected before start and failed from start on, temporary ones do not", () => {
  const final = new CoveyError("internal", "x"), temporary = new CoveyError("unavailable", "x");
  assert.equal(afterError("prepare", final).state, "rejected");
  assert.equal(afterError("start", final).state, "failed");
  assert.equal(afterError("wait", final).state, "failed");
  assert.equal(afterError("start", temporary).state, undefined);
  assert.equal(afterSuccess("wait", { ExitCode: 0 }).state, "complete");
  assert.equal(
    afterSuccess("wait", { ExitCode: 137, Reason: "out of memory" }).err,
    "task: non-zero exit (137): out of memory",
  );
});

Deno.test("Agent: pauses between sessions grow from 100 ms to 8 s, those between calls from 1 s to 30 s", () => {
  const backoff = sessionBackoff({ float: () => 0.999999, bytes: () => new Uint8Array() });
  const bounds = Array.from({ length: 9 }, () => Math.round(backoff.next()));
  assert.deepEqual(bounds, [100, 300, 700, 1500, 3100, 6300, 8000, 8000, 8000]);
  backoff.reset();
  assert.equal(Math.round(backoff.next()), 100);
  const calls = callBackoff();
  assert.deepEqual(Array.from({ length: 7 }, () => calls.next()), [
    1000,
    2000,
    4000,
    8000,
    16_000,
    30_000,
    30_000,
  ]);
});

Deno.test("Managers: a failing manager is picked seldom, but is not given up", () => {
  const managers = new Managers(seededRandom(), ["a:1", "b:1"]);
  for (let i = 0; i < 5; i++) managers.observe("a:1", false);
  managers.observe("b:1", true);
  const picks = Array.from({ length: 1000 }, () => managers.pick());
  const share = picks.filter((address) => address === "a:1").length;
  assert.ok(share > 5 && share < 150, String(share));
  assert.equal(managers.replace([]), false);
  assert.equal(managers.replace([{ NodeID: "", Addr: "c:1", Weight: 1 }]), true);
  assert.deepEqual(managers.addresses, ["a:1", "b:1", "c:1"]);
  assert.equal(new Managers(seededRandom(), []).pick(), undefined);
});

Deno.test("Managers: each one that is listed is tried once before any again", () => {
  const managers = new Managers(seededRandom(), ["a:1", "b:1", "gone:1"]);
  managers.replace(["a:1", "b:1", "c:1", "d:1"].map((Addr) => ({ NodeID: "", Addr, Weight: 1 })));
  for (let round = 0; round < 100; round++) {
    const tried: string[] = [];
    while (tried.filter((address) => address !== "gone:1").length < 4) {
      tried.push(managers.pick()!);
      managers.observe(tried.at(-1)!, false);
    }
    assert.equal(new Set(tried).size, tried.length, tried.join());
  }
});

Deno.test("Managers: what was given or has worked stays a candidate, in a bounded list; what was only listed does not", () => {
  const managers = new Managers(seededRandom(), ["given:1"]);
  const list = (Addr: string) => managers.replace([{ NodeID: "", Addr, Weight: 1 }]);
  list("never:1");
  list("worked:1");
  assert.deepEqual(managers.addresses, ["given:1", "worked:1"]);
  managers.observe("worked:1", true);
  list("present:1");
  assert.deepEqual(managers.addresses, ["given:1", "worked:1", "present:1"]);
  const picks = (n: number) => Array.from({ length: n }, () => managers.pick());
  assert.ok(
    picks(1000).filter((address) => address === "present:1").length > 600,
    "the listed one comes first",
  );
  for (let i = 0; i < 5; i++) managers.observe("present:1", false);
  assert.ok(picks(1000).filter((address) => address === "given:1").length > 300, "unless it fails");
  for (let i = 0; i < 100; i++) {
    list(`m${i}:1`);
    managers.observe(`m${i}:1`, true);
  }
  assert.ok(managers.addresses.length <= 17, managers.addresses.join());
  assert.ok(managers.addresses.includes("given:1"));
});

Deno.test("localRestartDelay: follows condition, attempts and window", () => {
  const at = (ms: number) => new Date(ms).toISOString();
  assert.equal(localRestartDelay(undefined, "failed", [], 0), 5000);
  assert.equal(localRestartDelay({ Condition: "none" }, "failed", [], 0), undefined);
  assert.equal(localRestartDelay({ Condition: "on-failure" }, "complete", [], 0), undefined);
  assert.equal(localRestartDelay({ Condition: "any", Delay: 0 }, "complete", [], 0), 0);
  const policy = { MaxAttempts: 2, Window: 10e9, Delay: 1e9 };
  assert.equal(localRestartDelay(policy, "failed", [at(0), at(9000)], 9500), undefined);
  assert.equal(localRestartDelay(policy, "failed", [at(0), at(9000)], 10_500), 1000);
});

Deno.test("StartLimiter: so many at once, in order, and none is kept out by one that hangs", async () => {
  const clock = new FakeClock();
  const limiter = new StartLimiter(clock, 2);
  const { signal } = new AbortController();
  const started: number[] = [];
  const release: (() => void)[] = [];
  const runs = [0, 1, 2, 3].map((i) =>
    limiter.run(() => new Promise<void>((resolve) => (started.push(i), release.push(resolve))), signal)
  );
  await settle();
  assert.deepEqual(started, [0, 1]);
  release[0]!();
  await settle();
  assert.deepEqual(started, [0, 1, 2]);
  const abort = new AbortController();
  const leaves = limiter.run(() => Promise.resolve(), abort.signal);
  abort.abort(new CoveyError("canceled", "x"));
  await assert.rejects(leaves, { code: "canceled" });
  await clock.advance(MAX_PLACE_MS);
  assert.deepEqual(started, [0, 1, 2, 3]);
  release.forEach((resolve) => resolve());
  await Promise.all(runs);
  assert.equal(clock.pending, 0);
});

const status = (State: TaskState, Message = ""): TaskStatus => ({ Timestamp: "", State, Message });

Deno.test("StatusReporter: quick steps become one report, lower states are dropped, failures are repeated", async () => {
  const clock = new FakeClock();
  const reporter = new StatusReporter(clock);
  const calls: string[][] = [];
  let failures = 1;
  reporter.report("a", status("preparing"));
  reporter.report("a", status("running"));
  reporter.report("a", status("ready"));
  reporter.connect((updates) => {
    calls.push(updates.map((u) => `${u.TaskID} ${u.Status.State}`));
    return failures-- > 0 ? Promise.reject(new CoveyError("unavailable", "x")) : Promise.resolve();
  }, [["b", status("running")]]);
  await clock.advance(0);
  assert.deepEqual(calls, [["a running", "b running"]]);
  await clock.advance(1000);
  assert.deepEqual(calls.length, 2);
  assert.equal(reporter.pending, 0);
  reporter.disconnect();
});

Deno.test("StatusReporter: a status that is refused for good does not hold up the others", async () => {
  const reporter = new StatusReporter(new FakeClock());
  const accepted: string[] = [];
  reporter.connect((updates) => {
    if (updates.some((u) => u.TaskID === "foreign")) {
      return Promise.reject(new CoveyError("permission_denied", "x"));
    }
    accepted.push(...updates.map((u) => u.TaskID));
    return Promise.resolve();
  }, ["a", "foreign", "b"].map((id) => [id, status("running")]));
  await settle();
  assert.deepEqual(accepted, ["a", "b"]);
  assert.equal(reporter.pending, 0);
  reporter.disconnect();
});

Deno.test("parseAgentOptions: normalizes, and names every problem at once", () => {
  const options = parseAgentOptions(["--state-dir", "s", "--join", "a,b:1,::1", "--label", "k=v=w"], "/cwd");
  assert.equal(options.stateDir, "/cwd/s");
  assert.deepEqual(options.join, ["a:2377", "b:1", "[::1]:2377"]);
  assert.deepEqual(options.labels, { k: "v=w" });
  assert.throws(
    () => parseAgentOptions(["--token", "t", "--label", "x", "--executor", "a b"], "/"),
    (error) => {
      assert.ok(hasCode(error, "invalid_argument"));
      assert.deepEqual(error.problems.map((p) => p.field), ["--join", "--label", "--executor"]);
      return true;
    },
  );
  assert.throws(() => parseAgentOptions(["--frobnicate"], "/"), { code: "invalid_argument" });
});

Deno.test("parseAgentOptions: only an agent that somebody keeps is ever renewed, and none that is not to be", () => {
  const renewal = (...flags: string[]) => parseAgentOptions(flags, "/").renewal;
  assert.equal(renewal(), undefined);
  assert.equal(renewal("--renew-percent", "3", "--renew-after", "9"), undefined);
  assert.deepEqual(renewal("--kept"), { percent: 7, afterMs: 900_000 });
  const flags = ["--kept", "--renew-percent", "0.5", "--renew-after", "90"];
  assert.deepEqual(renewal(...flags), { percent: 0.5, afterMs: 90_000 });
  assert.equal(renewal("--kept", "--renew-percent", "0"), undefined);
  for (const odd of ["", "-1", "x", "1e9", "Infinity"]) {
    assert.throws(() => renewal(`--renew-percent=${odd}`, `--renew-after=${odd}`), (error: CoveyError) => {
      assert.deepEqual(error.problems?.map(({ field }) => field), ["--renew-percent", "--renew-after"]);
      return true;
    });
  }
});
