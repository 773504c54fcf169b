/** A job that a device runs by the clock: whoever is away or killed meanwhile, each time is run at most once. */
import assert from "node:assert/strict";
import type { Schedule, ScheduledRun } from "../../../api/schedule.ts";
import type { Task } from "../../../api/task.ts";
import { Cluster } from "../support/cluster.ts";

const MINUTE_MS = 60_000;

/** A device with a job that runs each ten minutes; it is just past one of them. */
class Job {
  constructor(readonly cluster: Cluster) {}

  static async start(schedule: Partial<Schedule> = {}, spec: Partial<Task["Spec"]> = {}): Promise<Job> {
    const cluster = await Cluster.start();
    await cluster.startAgent();
    const job = new Job(cluster);
    await job.until(0);
    await cluster.assign("job", {
      JobIteration: { Index: 0 },
      DesiredState: "complete",
      CreatedAt: new Date(cluster.clock.now()).toISOString(),
      Spec: {
        ProcessSpec: { Command: "run" },
        ForceUpdate: 0,
        Runtime: "process",
        Schedule: { Cron: "*/10 * * * *", ...schedule },
        ...spec,
      },
    });
    return job;
  }

  /** Lets time pass until it is `minutes` past one of the times, and a moment. */
  async until(minutes: number): Promise<void> {
    const { clock } = this.cluster, period = 10 * MINUTE_MS;
    const into = clock.now() % period, goal = minutes * MINUTE_MS + 500;
    await clock.advance((goal - into + period) % period || period);
    await this.cluster.settle();
  }

  /** The programs that were started, in their order. */
  get started(): string[] {
    return [...this.cluster.device.programs.values()].filter((each) => each.count("start") > 0).map((
      { id },
    ) => id);
  }

  /** Starts of programs, each time that one was started. */
  get starts(): number {
    return [...this.cluster.device.programs.values()].reduce((sum, each) => sum + each.count("start"), 0);
  }

  get running(): string[] {
    return this.cluster.device.running;
  }

  async exits(code: number): Promise<void> {
    for (const id of this.running) this.cluster.device.program(id).exit(code);
    await this.cluster.settle();
  }

  /** The runs that the manager knows: minute, state, and more. */
  get runs(): string[] {
    return (this.cluster.status("job").Runs ?? []).map((
      { Scheduled, State, ExitCode, Reason }: ScheduledRun,
    ) => [Scheduled.slice(14, 16), State, ExitCode, Reason].filter((each) => each !== undefined).join(" "));
  }

  get minute(): string {
    return new Date(this.cluster.clock.now()).toISOString().slice(14, 16);
  }
}

Deno.test("Scheduled job: runs when its time has come and not before, and tells how each run ended", async () => {
  const job = await Job.start();
  const { cluster } = job;
  assert.equal(cluster.status("job").State, "running");
  assert.match(cluster.status("job").Message, /^next run at .*:00\.000Z$/);
  await job.until(9);
  assert.equal(job.starts, 0);
  await job.until(0);
  const first = job.minute;
  assert.deepEqual([job.starts, job.runs], [1, [`${first} running`]]);
  await job.exits(0);
  assert.deepEqual(job.runs, [`${first} complete 0`]);
  assert.equal(cluster.status("job").Err, undefined);
  await job.until(0);
  const second = job.minute;
  await job.exits(3);
  assert.deepEqual(job.runs, [`${first} complete 0`, `${second} failed 3 task: non-zero exit (3)`]);
  assert.match(cluster.status("job").Err!, /^the run of .* failed: task: non-zero exit \(3\)$/);
  assert.equal(cluster.status("job").State, "running");
  await job.until(0);
  await job.exits(0);
  assert.equal(cluster.status("job").Err, undefined);
  assert.equal(job.starts, 3);
  // Of runs before the last nothing is left on the device.
  const [one, two, three] = job.started.map((id) => cluster.device.program(id).count("remove"));
  assert.deepEqual([one, two, three], [1, 1, 0]);
  await cluster.want("job", "remove");
  await cluster.remove("job");
  assert.equal(cluster.device.program(job.started[2]!).count("remove"), 1);
  assert.equal([...cluster.state.tasks()].length, 0);
  await cluster.stop();
});

Deno.test("Scheduled job: runs on without a manager, and tells it all later", async () => {
  const job = await Job.start();
  job.cluster.stopManager();
  for (let i = 0; i < 3; i++) {
    await job.until(0);
    await job.exits(i);
  }
  assert.equal(job.starts, 3);
  assert.equal(job.runs.length, 0);
  await job.cluster.startManager();
  await job.cluster.clock.advance(30_000);
  await job.cluster.settle();
  assert.deepEqual(job.runs.map((run) => run.slice(3, 11)), ["complete", "failed 1", "failed 2"]);
  await job.cluster.stop();
});

Deno.test("Scheduled job: an agent that is killed or away at its time runs it once; what it missed is left out, or run once", async () => {
  for (const [missed, starts] of [["skip", 1], ["once", 2]] as const) {
    const job = await Job.start({ Missed: missed });
    const { cluster } = job;
    await job.until(0);
    await cluster.stopAgent();
    await cluster.clock.advance(30_000);
    await cluster.startAgent();
    assert.deepEqual([job.starts, job.running.length], [1, 1], "the run goes on");
    await job.exits(0);
    await cluster.stopAgent();
    await cluster.clock.advance(25 * MINUTE_MS);
    await cluster.startAgent();
    assert.equal(job.starts, starts, missed);
    const last = job.runs.at(-1)!;
    assert.match(last, missed === "skip" ? /missed nothing could run it in time/ : /running/);
    await job.exits(0);
    await job.until(0);
    assert.equal(job.starts, starts + 1);
    await cluster.stop();
  }
});

Deno.test("Scheduled job: the agent is away for a moment just when the time comes, and no run is lost", async () => {
  const job = await Job.start();
  await job.until(9);
  await job.cluster.stopAgent();
  await job.cluster.clock.advance(MINUTE_MS + 20_000);
  await job.cluster.startAgent();
  assert.deepEqual([job.starts, job.running.length], [1, 1]);
  await job.cluster.stop();
});

Deno.test("Scheduled job: a run that a power cut ended is not begun again, unless its restart policy asks for that", async () => {
  for (const Condition of [undefined, "on-failure"] as const) {
    const job = await Job.start({}, Condition && { RestartPolicy: { Condition } });
    const { cluster } = job;
    cluster.stopManager();
    await job.until(0);
    assert.equal(job.starts, 1);
    await cluster.stopAgent();
    cluster.device.reboot();
    await cluster.startAgent("boot-2");
    assert.equal(job.starts, Condition ? 2 : 1);
    await cluster.startManager();
    await cluster.clock.advance(20_000);
    await cluster.settle();
    assert.equal(job.starts, Condition ? 2 : 1);
    assert.match(job.runs[0]!, Condition ? /running/ : /failed .*the device was started anew meanwhile/);
    await job.exits(0);
    await job.until(0);
    assert.equal(job.starts, Condition ? 3 : 2);
    await cluster.stop();
  }
});

Deno.test("Scheduled job: a run that fails is tried again as its policy says, which is the same run", async () => {
  const job = await Job.start({}, { RestartPolicy: { Condition: "on-failure", Delay: 5e9, MaxAttempts: 1 } });
  await job.until(0);
  await job.exits(1);
  await job.cluster.clock.advance(6000);
  await job.cluster.settle();
  assert.deepEqual([job.starts, job.runs.length], [2, 1]);
  await job.exits(1);
  await job.cluster.clock.advance(6000);
  await job.cluster.settle();
  assert.equal(job.starts, 2);
  assert.match(job.runs[0]!, /failed 1/);
  await job.cluster.stop();
});

Deno.test("Scheduled job: what happens when the run before still goes on", async () => {
  const forbid = await Job.start();
  await forbid.until(0);
  await forbid.until(0);
  assert.equal(forbid.starts, 1);
  assert.match(forbid.runs[1]!, /skipped the run before it was still going/);
  await forbid.cluster.stop();

  const replace = await Job.start({ Concurrency: "replace" });
  await replace.until(0);
  await replace.until(0);
  assert.deepEqual([replace.starts, replace.running], [2, [replace.started[1]]]);
  assert.deepEqual(replace.runs.map((run) => run.slice(3)), ["stopped", "running"]);
  await replace.cluster.stop();

  const allow = await Job.start({ Concurrency: "allow" });
  await allow.until(0);
  await allow.until(0);
  assert.equal(allow.running.length, 2);
  await allow.exits(0);
  assert.deepEqual(allow.runs.map((run) => run.slice(3)), ["complete 0", "complete 0"]);
  await allow.cluster.stop();
});

Deno.test("Scheduled job: nothing runs before the device knows the time", async () => {
  const job = await Job.start({ Missed: "once" });
  job.cluster.knowsTime = false;
  await job.until(0);
  assert.equal(job.starts, 0);
  assert.equal(job.cluster.status("job").Message, "runs nothing before the device knows the time");
  await job.until(5);
  job.cluster.knowsTime = true;
  await job.cluster.clock.advance(10_000);
  await job.cluster.settle();
  assert.equal(job.starts, 1);
  await job.cluster.stop();
});

Deno.test("Scheduled job: one that is ended ends its run, and runs nothing any more", async () => {
  const job = await Job.start();
  await job.until(0);
  await job.cluster.want("job", "shutdown");
  assert.deepEqual(job.running, []);
  assert.equal(job.cluster.status("job").State, "shutdown");
  assert.deepEqual(job.runs.map((run) => run.slice(3)), ["stopped"]);
  await job.until(0);
  assert.equal(job.starts, 1);
  await job.cluster.stop();
});

Deno.test("Scheduled job: a run whose beginning cannot be written to the disk does not begin", async () => {
  const job = await Job.start();
  const flush = job.cluster.state.flush.bind(job.cluster.state);
  job.cluster.state.flush = () => Promise.reject(new Error("no space left on device"));
  await job.until(0).catch(() => {});
  job.cluster.state.flush = flush;
  await job.cluster.settle();
  assert.equal(job.starts, 0);
  assert.match(job.runs[0]!, /skipped .*no space left/);
  await job.until(0);
  assert.equal(job.starts, 1);
  await job.cluster.stop();
});
