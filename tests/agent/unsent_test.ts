/** What happened on a device without a manager, as one hears of it afterwards. */
import assert from "node:assert/strict";
import { StatusReporter } from "../../agent/status_reporter.ts";
import { inOrder, MAX_UNSENT_STATUSES, withStatus } from "../../agent/unsent.ts";
import type { TaskState } from "../../api/task_state.ts";
import type { TaskStatus } from "../../api/task.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { Cluster } from "./support/cluster.ts";

const status = (State: TaskState, Message = "", Err = "", Timestamp = ""): TaskStatus => ({
  Timestamp,
  State,
  Message,
  ...(Err && { Err }),
});

const restarted = {
  Spec: {
    ProcessSpec: { Command: "sleep" },
    ForceUpdate: 0,
    Runtime: "process",
    RestartPolicy: { Condition: "any" as const, Delay: 1e9 },
  },
};

Deno.test("Unsent: steps and mere words take each other's place, what went wrong stays, and there is an end to it", () => {
  let unsent: TaskStatus[] = [];
  for (const State of ["accepted", "preparing", "starting", "running"] as const) {
    unsent = withStatus(unsent, status(State));
  }
  unsent = withStatus(unsent, status("running", "started again"));
  unsent = withStatus(unsent, status("preparing"));
  assert.deepEqual(unsent.map(({ Message }) => Message), ["started again"]);
  for (let time = 0; time < 100; time++) {
    unsent = withStatus(unsent, status("running", `${time}`, "non-zero exit (3)"));
    unsent = withStatus(unsent, status("running", `${time}`));
  }
  assert.equal(unsent.length, MAX_UNSENT_STATUSES);
  assert.equal(unsent.at(-1)!.Message, "99");
  for (let time = 0; time < 10; time++) unsent = withStatus(unsent, status("running", "", "x".repeat(4096)));
  assert.ok(JSON.stringify(unsent).length <= 16 * 1024);
});

Deno.test("Unsent: those of several tasks are in order of time, those of one in their own, whatever its clock did", () => {
  const at = (second: number) => status("running", `${second}`, "", new Date(second * 1000).toISOString());
  const order = inOrder([["a", [at(1), at(5)]], ["b", [at(2), at(3)]], ["c", [at(4), at(0), at(6)]]]);
  assert.deepEqual(order.map(([id, { Message }]) => `${id}${Message}`), [
    "a1",
    "b2",
    "b3",
    "c4",
    "c0",
    "a5",
    "c6",
  ]);
});

Deno.test("StatusReporter: of each task one in a call, so that a manager compares it with what it has, and all in order", async () => {
  const accepted: string[] = [], calls: string[][] = [];
  const reporter = new StatusReporter(new FakeClock(), (id) => accepted.push(id));
  reporter.report("a", status("running", "1", "failed"));
  reporter.report("b", status("running", "2", "failed"));
  reporter.report("a", status("running", "3"));
  reporter.report("b", status("failed", "4"));
  reporter.report("a", status("failed", "5"));
  reporter.connect((updates) => {
    calls.push(updates.map(({ Status }) => Status.Message));
    return Promise.resolve();
  }, [["a", status("failed", "5")], ["c", status("running", "6")]]);
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  assert.deepEqual(calls, [["1", "2"], ["3", "4"], ["5", "6"]]);
  assert.deepEqual(accepted, ["b", "a", "c"]);
  assert.equal(reporter.pending, 0);
  reporter.disconnect();
});

Deno.test("Agent: what happened without a manager arrives in order afterwards, a reboot in between or not, and is then forgotten", async () => {
  const c = await Cluster.start();
  await c.startAgent();
  await c.assign("a", restarted);
  await c.assign("b", restarted);
  c.stopManager();
  await c.settle();
  c.device.program("a").exit(3);
  await c.clock.advance(2000);
  c.device.program("b").exit(4);
  await c.clock.advance(2000);
  await c.stopAgent();
  await c.startAgent();
  c.device.program("a").exit(5);
  await c.clock.advance(2000);
  const seen: string[] = [];
  const stop = c.store.subscribe(({ changes }) => {
    for (const change of changes) {
      if (change.table !== "tasks" || change.action !== "update") continue;
      const { ID, Status: { Message, Err, Restarts = [] } } = change.object;
      seen.push(`${ID}: ${Err ?? Message}, ${Restarts.length}`);
    }
  });
  await c.startManager();
  await c.clock.advance(10_000);
  stop();
  assert.deepEqual(seen, [
    "a: task: non-zero exit (3), 0",
    "a: started (run again on the node: 1), 1",
    "b: task: non-zero exit (4), 0",
    "b: started (run again on the node: 1), 1",
    "a: task: non-zero exit (5), 1",
    "a: started (run again on the node: 2), 2",
  ]);
  assert.deepEqual([...c.state.tasks()].map(({ unsent }) => unsent), [undefined, undefined]);
  await c.stop();
});
