/** What six devices that swap by themselves are put through, whatever kind their tasks are of. */
import assert from "node:assert/strict";
import type { Fleet } from "../../cli/demo/fleet.ts";
import type { NodeView, TaskView } from "../../cli/api_types.ts";
import type { Service, ServiceSpec, TaskSpec } from "../../api/service.ts";
import { isTerminal } from "../../api/task_state.ts";
import { changeSpec, nodeNamed, waitNode, waitRunning, withFleet } from "../support/e2e.ts";

const DEVICES = Array.from({ length: 6 }, (_, n) => `device-${n + 1}`);
/** How long a version that does well is watched. */
const MONITOR_NS = 5e8;
/** A version that fails does so much sooner, however slow the machine is. */
const LONG_MONITOR_NS = 30e9;
/** Much longer than a rollout that goes on takes to hand out its next task. */
const HOLD_MS = 1000;

/** Versions of the service: number 3 ends at once, number 6 when it is told to; all others last. */
const BAD = 3, TOLD = 6;
const VERSIONS = [1, 2, BAD, 4, 5, TOLD, 7];

/** One kind of task that the devices run. */
export interface Kind {
  /** Engine socket of all devices, or `none`. */
  docker: string;
  /** Makes what tasks of `version` need to run `program`, which may read `folder`. */
  prepare(version: number, program: readonly string[], folder: string): Promise<void>;
  /** What a task of a version is; one that was prepared. */
  task(version: number): Partial<TaskSpec> & Pick<TaskSpec, "Runtime">;
  isOf(version: number, task: TaskSpec): boolean;
  /** Every run of a version there is on the machine, told apart for good: another start is another run. */
  running(version: number): Promise<string[]>;
}

/** The program of a version. `seconds` tell it from all else on the machine; it is told to end by a file. */
function program(version: number, seconds: string, folder: string): string[] {
  if (version === BAD) return ["/bin/sh", "-c", "sleep 0.3; exit 3", seconds];
  if (version !== TOLD) return ["/bin/sleep", seconds];
  return ["/bin/sh", "-c", `until [ -e ${folder}/end ]; do sleep 0.1; done; exit 3`, seconds];
}

/** One service on the fleet, as somebody with a command line sees it. */
class Sensor {
  id = "";

  constructor(readonly fleet: Fleet, readonly kind: Kind) {}

  spec(version: number, change: Partial<ServiceSpec> = {}): ServiceSpec {
    return {
      Name: "sensor",
      Labels: { "covey.rollout.device-rollback": "60s" },
      TaskTemplate: {
        ForceUpdate: 0,
        RestartPolicy: { Condition: "any", Delay: 2e8 },
        ...this.kind.task(version),
      },
      Mode: { Global: {} },
      UpdateConfig: config(version === BAD || version === TOLD ? LONG_MONITOR_NS : MONITOR_NS),
      ...change,
    };
  }

  async create(version: number): Promise<void> {
    const { ID } = await this.fleet.client.post<{ ID: string }>("/services/create", this.spec(version));
    this.id = ID;
    await waitRunning(this.fleet, ID, DEVICES.length);
  }

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

  async running(...versions: number[]): Promise<string[]> {
    return (await Promise.all(versions.map((version) => this.kind.running(version)))).flat().sort();
  }

  /** Waits until so many of each version run, and none of all others. */
  runs(counts: Record<number, number>): Promise<void> {
    return this.fleet.waitUntil(`of each version run: ${JSON.stringify(counts)}`, async () => {
      for (const version of VERSIONS) {
        if ((await this.running(version)).length !== (counts[version] ?? 0)) return false;
      }
      return true;
    });
  }

  /** Waits until each device has one task, which runs, and nothing is on its way: then a rollout that may go on does. */
  async settles(): Promise<void> {
    await this.fleet.waitUntil("nothing is on its way", async () => {
      const wanted = (await this.tasks()).filter(({ DesiredState, Status }) =>
        DesiredState === "running" && !isTerminal(Status.State)
      );
      return wanted.length === DEVICES.length && wanted.every(({ Status }) => Status.State === "running");
    });
  }

  /** Fails unless for a while no task is made, and what runs goes on. */
  async holds(what: string): Promise<void> {
    const seen = async () => ({
      tasks: (await this.tasks()).map(({ ID, DesiredState }) => `${ID} ${DesiredState}`).sort(),
      runs: await this.running(...VERSIONS),
    });
    const before = await seen();
    assert.equal(before.runs.length, DEVICES.length);
    await new Promise((resolve) => setTimeout(resolve, HOLD_MS));
    assert.deepEqual(await seen(), before, what);
  }
}

function config(Monitor: number, Parallelism = 2): NonNullable<ServiceSpec["UpdateConfig"]> {
  return { Parallelism, Monitor, FailureAction: "pause", MaxFailureRatio: 0 };
}

/** Good, bad, paused and aborted rollouts; devices that go back while there is no manager, and one that is away meanwhile. */
export async function showRollouts(kind: Kind): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "covey-told-" });
  // Programs may run as somebody else.
  await Deno.chmod(folder, 0o755);
  const base = 100_000_000 + Math.floor(Math.random() * 1e7) * 10;
  for (const version of VERSIONS) {
    await kind.prepare(version, program(version, String(base + version), folder), folder);
  }
  try {
    await withFleet({ docker: kind.docker }, async (fleet) => {
      await fleet.startManager("manager-1", ["--no-agent"]);
      for (const name of DEVICES) await fleet.startAgent(name);
      for (const name of DEVICES) await waitNode(fleet, name, "ready");
      await missQuickly(fleet, DEVICES[0]!);
      const sensor = new Sensor(fleet, kind);
      await sensor.create(1);
      await sensor.runs({ 1: 6 });

      await goodUpdate(sensor);
      await badUpdate(sensor);
      await rememberedBad(sensor);
      await abortedUpdate(sensor);
      await backWithoutManager(sensor, folder);
      await awayAndBack(sensor);
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** That it is away is known after three seconds, not fifteen. */
async function missQuickly(fleet: Fleet, name: string): Promise<void> {
  const { ID } = await nodeNamed(fleet, name);
  await changeSpec<NodeView["Spec"]>(fleet, `/nodes/${ID}`, (spec) => ({
    ...spec,
    Labels: { ...spec.Labels, "covey.heartbeat": "1s" },
  }));
}

async function goodUpdate(sensor: Sensor): Promise<void> {
  await sensor.update(sensor.spec(2));
  await sensor.reaches("completed");
  await sensor.runs({ 2: 6 });
}

/** Two at once fail, the others are not touched, and the two are back: four are the very same runs as before. */
async function badUpdate(sensor: Sensor): Promise<void> {
  const before = await sensor.running(2);
  await sensor.update(sensor.spec(BAD));
  await sensor.reaches("paused");
  await sensor.runs({ 2: 6 });
  const kept = (await sensor.running(2)).filter((each) => before.includes(each));
  assert.ok(kept.length >= 4, `${kept.length} of 6 were left alone`);
  const failed = (await sensor.tasks()).filter((task) => task.Status.State === "failed");
  assert.ok(failed.length >= 1 && failed.length <= 2);
}

/** The same version again: the devices that know it do not stop what they run, and tell. */
async function rememberedBad(sensor: Sensor): Promise<void> {
  const bad = new Set(
    (await sensor.tasks()).filter((task) => task.Status.State === "failed").map((task) => task.NodeID),
  );
  await sensor.update(sensor.spec(2));
  const again = sensor.spec(BAD);
  await sensor.update({ ...again, TaskTemplate: { ...again.TaskTemplate, ForceUpdate: 1 } });
  await sensor.reaches("paused");
  await sensor.control("abort");
  await sensor.runs({ 2: 6 });
  const { Failures } = (await sensor.service()).UpdateStatus!.Rollout!;
  assert.ok(Failures.every(({ Place }) => !bad.has(Place)), "no new failure of a device that knew");
  await sensor.update(sensor.spec(2));
  await sensor.runs({ 2: 6 });
}

/** Stopped after the first devices: what was done stays, and nothing more is. */
async function abortedUpdate(sensor: Sensor): Promise<void> {
  const { fleet } = sensor;
  await sensor.update(sensor.spec(4, { UpdateConfig: config(1e9, 1) }));
  // What the manager has not heard of is taken back by a pause, as if the device had not begun.
  await fleet.waitUntil(
    "the first device says that it runs it",
    async () =>
      (await sensor.tasks()).some(({ Status, Spec }) =>
        Status.State === "running" && sensor.kind.isOf(4, Spec)
      ),
  );
  await sensor.control("pause");
  await sensor.reaches("paused");
  await sensor.settles();
  const paused = (await sensor.running(4)).length;
  assert.ok(paused >= 1 && paused < DEVICES.length);
  await sensor.holds("a pause holds");
  await sensor.control("resume");
  await fleet.waitUntil("one more runs it", async () => (await sensor.running(4)).length > paused);
  await sensor.control("abort");
  await sensor.settles();
  assert.ok((await sensor.running(4)).length < DEVICES.length);
  await sensor.holds("an abort is final");
  await assert.rejects(sensor.control("resume"));
}

/** A device that runs the new version when the manager is killed goes back to the old one without it. */
async function backWithoutManager(sensor: Sensor, folder: string): Promise<void> {
  const { fleet } = sensor;
  await sensor.update(sensor.spec(5));
  await sensor.reaches("completed");
  await sensor.runs({ 5: 6 });
  const before = await sensor.running(5);
  const late = sensor.spec(TOLD);
  // A canary that the next manager has not heard of yet keeps its place.
  late.Labels = { ...late.Labels, "covey.rollout.stages": "1%, 100%" };
  await sensor.update(late);
  // Its old version rests.
  await sensor.runs({ 5: 5, [TOLD]: 1 });
  await fleet.end("manager-1", "SIGKILL");
  await Deno.writeTextFile(`${folder}/end`, "");
  await sensor.runs({ 5: 6 });
  assert.equal((await sensor.running(5)).filter((each) => before.includes(each)).length, 5);
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
  for (const name of DEVICES) await waitNode(fleet, name, "ready");
  await fleet.end(away, "SIGKILL");
  await waitNode(fleet, away, "down");
  await sensor.update(sensor.spec(7));
  await sensor.reaches("completed", ({ UpdateStatus }) => UpdateStatus?.Rollout?.Deferred === 1);
  await sensor.runs({ 5: 1, 7: 5 });
  await fleet.restart(away);
  await sensor.runs({ 7: 6 });
  const { ID } = await nodeNamed(fleet, away);
  const { Returned } = (await sensor.service()).UpdateStatus!.Rollout!;
  assert.equal(Returned.Failed, 0);
  assert.ok((await sensor.tasks()).some((task) => task.NodeID === ID && task.Status.State === "running"));
}
