import assert from "node:assert/strict";
import { createDockerExecutor } from "../../../executors/docker/docker_executor.ts";
import type { OverlayNetworks } from "../../../executors/overlay_networks.ts";
import { containerTask } from "../../conformance/docker_fixture.ts";
import { NODE_ID } from "../../conformance/tasks.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { failure, fakeEngine } from "./fake_engine.ts";

const never = new AbortController().signal;

/** Networks that are there, and note whose process they hear of. */
function heard() {
  const pids: [string, number][] = [];
  const networks: OverlayNetworks = {
    check: () => Promise.resolve(),
    ready: () => Promise.reject(new Error("not asked for")),
    join: () => Promise.reject(new Error("not asked for")),
    resume: () => {},
    part: () => Promise.resolve(),
    entered: ({ ID }, pid) => void pids.push([ID, pid]),
    drained: () => Promise.resolve(),
  };
  return { networks, pids };
}

Deno.test("Docker: the networks hear by which process a container is found, and when it runs no more", async () => {
  let isRunning = true;
  const joined = containerTask({}), other = containerTask({}), id = "e".repeat(64);
  joined.NetworkAttachments = [{ NetworkID: "net1", Addresses: ["10.0.1.5/24"] }];
  const engine = await fakeEngine((_, route) => {
    if (route === "GET /events") return new Response(new ReadableStream());
    if (!route.startsWith("GET /containers/")) return failure(500, `unexpected ${route}`);
    const State = { Status: "running", Running: isRunning, Pid: 71, ExitCode: 0, Error: "", StartedAt: "" };
    const Labels = { "com.docker.swarm.task.id": route.includes("ffff") ? other.ID : joined.ID };
    return Response.json({ Id: id, Config: { Labels }, State });
  });
  const { networks, pids } = heard();
  const executor = createDockerExecutor(
    { stateDir: "/nonexistent", nodeID: NODE_ID, networks },
    { socket: engine.socket, clock: new FakeClock() },
  );
  const controller = await executor.recover(joined, { version: 1, data: { ContainerID: id } });
  await executor.recover(other, { version: 1, data: { ContainerID: "f".repeat(64) } });
  assert.deepEqual(pids.at(-1), [joined.ID, 71]);
  isRunning = false;
  const again = await executor.recover(joined, { version: 1, data: { ContainerID: id } });
  assert.equal((await again.wait(never)).ExitCode, 0);
  assert.deepEqual(pids.at(-1), [joined.ID, 0]);
  assert.ok(pids.every(([task]) => task === joined.ID), "one of no network has none");
  await controller.close();
  await executor.close();
  await engine.close();
});
