/** A device swaps containers of a real engine by itself: a good version, one that its health check refuses, one that ends. */
import assert from "node:assert/strict";
import type { Fleet } from "../../cli/demo/fleet.ts";
import type { TaskView } from "../../cli/api_types.ts";
import type { HealthConfig } from "../../api/container_spec.ts";
import type { Service, ServiceSpec } from "../../api/service.ts";
import { EngineClient } from "../../executors/docker/engine_client.ts";
import { changeSpec, runningTasks, runService, waitNode, withFleet } from "../support/e2e.ts";
import { NO_ENGINE, TEST_ENGINE } from "../support/test_engine.ts";

/** What a version runs: its program and its health check. */
const VERSIONS: Record<string, { program: string; health: string }> = {
  first: { program: "sleep 100000", health: "true" },
  good: { program: "sleep 100000", health: "true" },
  sick: { program: "sleep 100000", health: "false" },
  ends: { program: "sleep 2; exit 3", health: "true" },
};

function spec(version: string): ServiceSpec {
  const { program, health } = VERSIONS[version]!;
  const Healthcheck: HealthConfig = {
    Test: ["CMD-SHELL", health],
    Interval: 2e8,
    Timeout: 5e9,
    Retries: 2,
  };
  return {
    Name: "swapped",
    Labels: { "covey.rollout.device-rollback": "30s" },
    TaskTemplate: {
      Runtime: "container",
      ForceUpdate: 0,
      ContainerSpec: {
        Image: "busybox:local",
        Command: ["sh", "-c", program],
        Labels: { version },
        StopGracePeriod: 0,
        Healthcheck,
      },
      RestartPolicy: { Condition: "any", Delay: 2e8 },
    },
    Mode: { Global: {} },
    UpdateConfig: { Parallelism: 1, Monitor: 4e9, FailureAction: "pause", MaxFailureRatio: 0 },
  };
}

/** Versions whose containers run, told by the engine. */
async function running(engine: EngineClient, serviceID: string): Promise<string[]> {
  const filters = JSON.stringify({ label: [`com.docker.swarm.service.id=${serviceID}`] });
  const found = await engine.call<{ Labels: Record<string, string> }[]>("GET", "/containers/json", {
    query: { filters },
  });
  return found.map(({ Labels }) => Labels.version ?? "");
}

function update(fleet: Fleet, id: string, version: string): Promise<void> {
  return changeSpec(fleet, `/services/${id}`, () => spec(version));
}

function reaches(fleet: Fleet, id: string, state: string): Promise<void> {
  return fleet.waitUntil(`the update is ${state}`, async () => {
    const { UpdateStatus } = await fleet.client.get<Service>(`/services/${id}`);
    return UpdateStatus?.State === state;
  });
}

/** A bad version: the device is back at the good one, which runs again, and says why. */
async function goesBack(fleet: Fleet, engine: EngineClient, id: string, version: string, why: RegExp) {
  const [before] = await runningTasks(fleet, id);
  await update(fleet, id, version);
  await reaches(fleet, id, "paused");
  await fleet.waitUntil("the good version runs alone", async () => {
    return (await running(engine, id)).join() === "good";
  });
  const [after] = await runningTasks(fleet, id);
  assert.equal(after!.ID, before!.ID, "the old task is the one that was kept");
  const tasks = await fleet.client.get<TaskView[]>("/tasks", { filters: { service: [id] } });
  const failed = tasks.find(({ Status, Spec }) =>
    Status.State === "failed" && Spec.ContainerSpec?.Labels?.version === version
  );
  assert.match(failed?.Status.Err ?? JSON.stringify(tasks.map(({ Status }) => Status)), why);
}

Deno.test({
  name: "Swap: containers are swapped by their device, and a version that gets sick or ends is taken back",
  ignore: NO_ENGINE !== "", // the reason is in the constant
  fn: () =>
    withFleet({ docker: TEST_ENGINE }, async (fleet) => {
      const engine = new EngineClient(TEST_ENGINE);
      await fleet.startManager("boss", ["--no-agent"]);
      await fleet.startAgent("pi");
      await waitNode(fleet, "pi", "ready");
      const id = await runService(fleet, spec("first"), 1);
      await update(fleet, id, "good");
      await reaches(fleet, id, "completed");
      assert.deepEqual(await running(engine, id), ["good"]);
      await goesBack(fleet, engine, id, "sick", /unhealthy container/);
      await goesBack(fleet, engine, id, "ends", /non-zero exit \(3\)/);
      engine.close();
    }),
});
