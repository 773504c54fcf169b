import assert from "node:assert/strict";
import { CoveyError } from "../../../api/errors.ts";
import { scheduleOf } from "../../../api/schedule.ts";
import { parseServiceSpec, parseTaskStatus } from "../../../api/validate/mod.ts";

function parsed(Schedule: unknown, more: object = {}, Mode: object = { GlobalJob: {} }) {
  const TaskTemplate = { Runtime: "process", ProcessSpec: { Command: "/bin/run" }, Schedule };
  return parseServiceSpec({ Name: "beat", TaskTemplate, Mode, ...more });
}

function problems(...args: Parameters<typeof parsed>): string[] {
  try {
    parsed(...args);
  } catch (thrown) {
    assert.ok(thrown instanceof CoveyError);
    return thrown.problems!.map(({ field, message }) => `${field}: ${message}`);
  }
  return [];
}

Deno.test("Schedule: members and labels together, of which a label wins", () => {
  const Labels = { "covey.cron.schedule": "@hourly", "covey.cron.deadline": "2h", "other": "x" };
  const spec = parsed({ Cron: "0 2 * * *", Missed: "once", Concurrency: "replace" }, { Labels });
  assert.deepEqual(scheduleOf(spec), {
    Cron: "@hourly",
    Missed: "once",
    Concurrency: "replace",
    Deadline: 7200e9,
  });
  assert.equal(scheduleOf(parsed(undefined)), undefined);
  assert.equal(scheduleOf(parsed({})), undefined);
});

Deno.test("Schedule: what contradicts itself is refused with all its problems at once", () => {
  const Labels = { "covey.cron.missed": "maybe", "covey.cron.when": "now", "covey.cron.deadline": "soon" };
  assert.deepEqual(problems({ Concurrency: "allow" }, { Labels }, { Global: {} }), [
    'Labels.covey.cron.missed: must be skip or once: current value is "maybe"',
    "Labels.covey.cron.when: no such setting of a schedule",
    'Labels.covey.cron.deadline: cannot be read: current value is "soon"',
    "TaskTemplate.Schedule.Cron: a schedule needs a cron expression",
    "TaskTemplate.Schedule: schedules are for global jobs, whose devices each keep the time: this is a global service",
  ]);
  const cron = (Cron: string) => problems({ Cron })[0]?.replace("TaskTemplate.Schedule.Cron: ", "");
  assert.equal(cron("0 0 30 2 *"), 'never comes: current value is "0 0 30 2 *"');
  assert.match(cron("61 * * * *")!, /^cannot be read: .*minute: 61: current value is "61 \* \* \* \*"$/);
  assert.match(cron("0 0 0 1 1 * 2030")!, /^must have five fields/);
  assert.equal(cron("*/10 * * * * *"), undefined);
  assert.deepEqual(problems({ Cron: "@daily", Deadline: 1e9 }), [
    "TaskTemplate.Schedule.Deadline: says how late what was missed may begin, which needs Missed once",
    "TaskTemplate.Schedule.Deadline: must be at least 1 min: current value is 1000000000 ns",
  ]);
  const Ports = [{ TargetPort: 80, PublishedPort: 8080, PublishMode: "host" }];
  assert.deepEqual(problems({ Cron: "@daily", Concurrency: "allow" }, { EndpointSpec: { Ports } }), [
    "TaskTemplate.Schedule.Concurrency: two runs at once cannot both have host port 8080",
  ]);
});

Deno.test("Schedule: a client that does not know the member does not lose it, and an empty one removes it", () => {
  const current = parsed({ Cron: "@daily" });
  const { Schedule: _, ...known } = current.TaskTemplate;
  const written = (more: object) =>
    scheduleOf(parseServiceSpec({ ...current, TaskTemplate: { ...known, ...more } }, { current }));
  assert.deepEqual(written({}), { Cron: "@daily" });
  assert.equal(written({ Schedule: {} }), undefined);
  assert.deepEqual(written({ Schedule: { Cron: "@hourly" } }), { Cron: "@hourly" });
});

Deno.test("Schedule: runs that an agent tells of are taken by their shape, and not more than a status holds", () => {
  const status = { State: "running", Timestamp: "2026-01-01T00:00:00Z", Message: "" };
  const run = { Scheduled: "2026-01-01T00:00:00Z", State: "failed", ExitCode: 3, Reason: "x" };
  const told = (Runs: unknown) => {
    const found: { field: string; message: string }[] = [];
    return [parseTaskStatus({ ...status, Runs }, "", found)?.Runs, found.map(({ field }) => field)];
  };
  assert.deepEqual(told([{ ...run, Extra: 1 }]), [[run], []]);
  assert.deepEqual(told([{ ...run, State: "odd" }])[1], ["Runs[0].State"]);
  assert.deepEqual(told(Array(11).fill(run))[1], ["Runs"]);
});
