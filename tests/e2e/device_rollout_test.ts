/**
 * Rollouts on six devices that swap by themselves, every program a process: good, bad, paused, aborted; a device that goes
 * back while there is no manager, and one that is away meanwhile. What runs is counted by process ID and start time.
 */
import assert from "node:assert/strict";
import type { Fleet } from "../../cli/demo/fleet.ts";
import type { TaskView } from "../../cli/api_types.ts";
import type { Service, ServiceSpec } from "../../api/service.ts";
import { processesOf } from "../agent/support/processes.ts";
import { changeSpec, nodeNamed, waitNode, waitRunning, withFleet } from "../support/e2e.ts";

const DEVICES = Array.from({ length: 6 }, (_, n) => `device-${n + 1}`);
/** Nobody else on the machine sleeps that long, another run of this test included. */
const SECONDS = 100_000_000 + Deno.pid * 10;
const MONITOR_NS = 1e9;

/** The program of a version; where `fails` it ends so soon after its start that no device takes it. */
function program(version: number, fails: boolean): string[] {
  const seconds = String(SECONDS + version);
  return fails ? ["/bin/sh", "-c", "sleep 0.3; exit 3", seconds] : ["/bin/sleep", seconds];
}

function spec(version: number, fails = false): ServiceSpec {
  const [Command = "", ...Args] = program(version, fails);
  return {
    Name: "sensor",
    Labels: { "covey.rollout.device-rollback": "30s" },
    TaskTemplate: {
      Runtime: "process",
      ForceUpdate: 0,
      ProcessSpec: { Command, Args, StopGracePeriod: 1e9 },
      RestartPolicy: { Condition: "any", Delay: 2e8 },
    },
    Mode: { Global: {} },
    UpdateConfig: { Parallelism: 2, Monitor: MONITOR_NS, FailureAction: "pause", MaxFailureRatio: 0 },
  };
}

/** One service on the fleet, as somebody with a command line sees it. */
class Sensor {
  constructor(readonly fleet: Fleet, readonly id: string) {}

  update(next: ServiceSpec): Promise<void> {
    return changeSpec(this.fleet, `/services/${this.id}`, () => next);
  }

  service(): Promise<Service> {
    return this.fleet.client.get<Service>(`/services/${this.id}`);
  }

  control(action: string): Promise<unknown> {
    return this.fleet.client.post(`/services/${this.id}/rollout/${action}`, {});
  }

  tasks(): Promise<TaskView[]> {
    return this.fleet.client.get<TaskView[]>("/tasks", { filters: { service: [this.id] } });
  }

  reaches(state: string, more: (service: Service) => boolean = () => true): Promise<void> {
    return this.fleet.waitUntil(`the update is ${state}`, async () => {
      const service = await this.service();
      return service.UpdateStatus?.State === state && more(service);
    });
  }

  /** Waits until just so many processes of each version run. */
  runs(counts: Record<number, number>): Promise<void> {
    return this.fleet.waitUntil(`processes of each version: ${JSON.stringify(counts)}`, () => {
      const wrong = Object.entries(counts).some(([version, count]) =>
        processesOf(program(Number(version), false)).length !== count
      );
      return Promise.resolve(!wrong);
    });
  }
}

function isOf(version: number, { ProcessSpec }: TaskView["Spec"]): boolean {
  return ProcessSpec?.Args?.includes(String(SECONDS + version)) ?? false;
}

/** Every process of the service, told apart for good. */
function processes(...versions: number[]): string[] {
  return versions.flatMap((version) => processesOf(program(version, false))).sort();
}

Deno.test("E2E: six devices go through good, bad, paused and aborted rollouts, back by themselves, and away and back", async () => {
  await withFleet({}, async (fleet) => {
    await fleet.startManager("manager-1", ["--no-agent"]);
    for (const name of DEVICES) await fleet.startAgent(name);
    for (const name of DEVICES) await waitNode(fleet, name, "ready");
    const { ID } = await fleet.client.post<{ ID: string }>("/services/create", spec(1));
    await waitRunning(fleet, ID, DEVICES.length);
    const sensor = new Sensor(fleet, ID);
    await sensor.runs({ 1: 6 });

    await goodUpdate(sensor);
    await badUpdate(sensor);
    await rememberedBad(sensor);
    await abortedUpdate(sensor);
    await backWithoutManager(sensor);
    await awayAndBack(sensor);
  });
});

async function goodUpdate(sensor: Sensor): Promise<void> {
  await sensor.update(spec(2));
  await sensor.reaches("completed");
  await sensor.runs({ 1: 0, 2: 6 });
}

/** Two at once fail, the others are not touched, and the two are back: four processes are the very same as before. */
async function badUpdate(sensor: Sensor): Promise<void> {
  const before = processes(2);
  await sensor.update(spec(3, true));
  await sensor.reaches("paused");
  await sensor.runs({ 2: 6 });
  const kept = processes(2).filter((each) => before.includes(each));
  assert.ok(kept.length >= 4, `${kept.length} of 6 were left alone`);
  const failed = (await sensor.tasks()).filter((task) => task.Status.State === "failed");
  assert.ok(failed.length >= 1 && failed.length <= 2);
}

/** The same version again: the devices that know it do not stop what they run, and tell. */
async function rememberedBad(sensor: Sensor): Promise<void> {
  const bad = new Set(
    (await sensor.tasks()).filter((task) => task.Status.State === "failed").map((task) => task.NodeID),
  );
  await sensor.update(spec(2));
  const again = spec(3, true);
  await sensor.update({ ...again, TaskTemplate: { ...again.TaskTemplate, ForceUpdate: 1 } });
  await sensor.reaches("paused");
  await sensor.control("abort");
  await sensor.runs({ 2: 6 });
  const { Failures } = (await sensor.service()).UpdateStatus!.Rollout!;
  assert.ok(Failures.every(({ Place }) => !bad.has(Place)), "no new failure of a device that knew");
  await sensor.update(spec(2));
  await sensor.runs({ 2: 6 });
}

/** Stopped after the first devices: what was done stays, and nothing more is. */
async function abortedUpdate(sensor: Sensor): Promise<void> {
  const slow = spec(4);
  slow.UpdateConfig = { ...slow.UpdateConfig!, Parallelism: 1, Monitor: 3e9 };
  await sensor.update(slow);
  // What the manager has not heard of is taken back by a pause, as if the device had not begun.
  await sensor.fleet.waitUntil(
    "the first device says that it runs it",
    async () =>
      (await sensor.tasks()).some(({ Status, Spec }) => Status.State === "running" && isOf(4, Spec)),
  );
  await sensor.control("pause");
  await sensor.reaches("paused");
  const paused = processes(4).length;
  await new Promise((resolve) => setTimeout(resolve, 4_000));
  assert.equal(processes(4).length, paused, "a pause holds");
  await sensor.control("resume");
  await sensor.fleet.waitUntil("one more runs it", () => Promise.resolve(processes(4).length > paused));
  await sensor.control("abort");
  await sensor.fleet.waitUntil(
    "each device has one",
    () => Promise.resolve(processes(2).length + processes(4).length === DEVICES.length),
  );
  const aborted = processes(2, 4);
  await new Promise((resolve) => setTimeout(resolve, 4_000));
  assert.deepEqual(processes(2, 4), aborted, "an abort is final");
  await assert.rejects(sensor.control("resume"));
}

/** A device that runs the new version when the manager is killed goes back to the old one without it. */
async function backWithoutManager(sensor: Sensor): Promise<void> {
  const { fleet } = sensor;
  await sensor.update(spec(5));
  await sensor.reaches("completed");
  await sensor.runs({ 2: 0, 4: 0, 5: 6 });
  const late = spec(6), seconds = String(SECONDS + 6);
  // It does well for longer than the manager lives, and not for as long as it has to.
  late.TaskTemplate.ProcessSpec = { Command: "/bin/sh", Args: ["-c", "sleep 4; exit 3", seconds] };
  late.UpdateConfig = { ...late.UpdateConfig!, Monitor: 20e9 };
  // A canary that the next manager has not heard of yet keeps its place.
  late.Labels = { ...late.Labels, "covey.rollout.stages": "1%, 100%" };
  await sensor.update(late);
  const running = () => processesOf(["/bin/sh", "-c", "sleep 4; exit 3", seconds]).length;
  await fleet.waitUntil("a device runs it", () => Promise.resolve(running() > 0));
  assert.equal(processes(5).length, 5, "its old version rests");
  await fleet.end("manager-1", "SIGKILL");
  await sensor.runs({ 5: 6 });
  assert.equal(running(), 0);
  await fleet.restart("manager-1");
  await fleet.waitUntil("the manager answers", () => sensor.service().then(() => true, () => false));
  await sensor.reaches("paused");
  const { Failures } = (await sensor.service()).UpdateStatus!.Rollout!;
  assert.equal(Failures.length, 1);
  await sensor.runs({ 5: 6 });
}

/** A device whose agent is gone is deferred, and gets the version once it is back. */
async function awayAndBack(sensor: Sensor): Promise<void> {
  const { fleet } = sensor, [away = ""] = DEVICES;
  await fleet.end(away, "SIGKILL");
  await waitNode(fleet, away, "down");
  await sensor.update(spec(7));
  await sensor.reaches("completed", ({ UpdateStatus }) => UpdateStatus?.Rollout?.Deferred === 1);
  await sensor.runs({ 5: 1, 7: 5 });
  await fleet.restart(away);
  await sensor.runs({ 5: 0, 7: 6 });
  const { ID } = await nodeNamed(fleet, away);
  const { Returned } = (await sensor.service()).UpdateStatus!.Rollout!;
  assert.equal(Returned.Failed, 0);
  assert.ok((await sensor.tasks()).some((task) => task.NodeID === ID && task.Status.State === "running"));
}
