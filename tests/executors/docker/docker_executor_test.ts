import assert from "node:assert/strict";
import type { ContainerSpec } from "../../../api/container_spec.ts";
import { CoveyError } from "../../../api/errors.ts";
import { createDockerExecutor } from "../../../executors/docker/docker_executor.ts";
import {
  containerTask,
  dockerFixture,
  ENGINE_SOCKET,
  NO_ENGINE,
  TEST_IMAGE,
} from "../../conformance/docker_fixture.ts";
import { NODE_ID } from "../../conformance/tasks.ts";
import { FakeClock, settle } from "../../support/fake_clock.ts";
import { failure, fakeEngine } from "./fake_engine.ts";

const never = new AbortController().signal;
const context = { stateDir: "/nonexistent", nodeID: NODE_ID };

/** A test on the real engine. */
function onEngine(name: string, run: (world: Awaited<ReturnType<typeof dockerFixture>>) => Promise<void>) {
  Deno.test({
    ignore: NO_ENGINE !== "", // the variable holds the reason
    name,
    fn: async () => {
      const world = await dockerFixture();
      try {
        await run(world);
      } finally {
        await world.close();
      }
    },
  });
}

Deno.test("Docker: an engine that cannot be reached is a passing condition", async () => {
  for (const socket of ["/nonexistent/docker.sock", "/dev/null"]) {
    const executor = createDockerExecutor(context, { socket });
    await assert.rejects(executor.describe(never), (error: unknown) => {
      assert.ok(error instanceof CoveyError && error.code === "unavailable" && error.retryable);
      assert.match(error.message, /^Cannot reach the Docker Engine at \//);
      return true;
    });
    await executor.close();
  }
});

onEngine("Docker: describes the engine as SwarmKit's agent does", async (world) => {
  const executor = await world.executor();
  const { Engine, Resources, Platform, Hostname } = await executor.describe(never);
  assert.match(Engine!.EngineVersion!, /^\d+\./);
  assert.ok(Engine!.Plugins!.some(({ Type, Name }) => Type === "Log" && Name === "json-file"));
  assert.equal(Platform!.OS, "linux");
  assert.ok(Resources!.NanoCPUs! >= 1e9 && Hostname);
  await executor.close();
});

onEngine("Docker: tells which ports of the host a container has, chosen ones too", async (world) => {
  const executor = await world.executor();
  const task = containerTask({ Command: ["sleep", "1000"] });
  task.Ports = [{ Protocol: "tcp", TargetPort: 80, PublishMode: "host" }];
  const controller = await executor.controller(task);
  await controller.prepare(never);
  await controller.start(never);
  const [port, ...others] = await controller.ports!();
  assert.ok(port!.PublishedPort! > 0);
  assert.deepEqual([port!.TargetPort, others], [80, []]);
  await controller.remove(never);
  assert.deepEqual(await controller.ports!(), []);
  await controller.close();
  await executor.close();
});

onEngine("Docker: a container is in the network of the engine that its task names", async (world) => {
  const executor = await world.executor();
  for (const Target of ["host", "none", "bridge"]) {
    const task = containerTask({ Command: ["sleep", "1000"] });
    task.Spec.Networks = [{ Target, Aliases: ["web"] }];
    const controller = await executor.controller(task);
    await controller.prepare(never);
    await controller.start(never);
    const filters = encodeURIComponent(JSON.stringify({ label: [`com.docker.swarm.task.id=${task.ID}`] }));
    const [found] = await world.engine.call<{ HostConfig: { NetworkMode: string } }[]>(
      "GET",
      `/containers/json?filters=${filters}`,
    );
    assert.equal(found!.HostConfig.NetworkMode, Target);
    await controller.remove(never);
    await controller.close();
  }
  await executor.close();
});

Deno.test("Docker: an image that a registry does not have is said in Docker's words, one not reached with the reason", async () => {
  const words = "No such image: app:latest";
  const denied = "pull access denied for app, repository does not exist or may require 'docker login'";
  const away = 'Get "https://registry.invalid/v2/": dial tcp: lookup registry.invalid: no such host';
  for (
    const [why, said] of [[denied, words], [away, `${words} (Cannot pull app:latest: ${away})`]] as const
  ) {
    const engine = await fakeEngine((_, route) => {
      if (route === "POST /images/create") return Response.json({ error: why });
      return failure(404, words);
    });
    const executor = createDockerExecutor(context, { socket: engine.socket });
    const controller = await executor.controller(containerTask({ Image: "app" }));
    await assert.rejects(controller.prepare(never), { code: "not_found", message: said });
    await executor.close();
    await engine.close();
  }
});

onEngine("Docker: an image that does not exist is said in the engine's words", async (world) => {
  const executor = await world.executor();
  const controller = await executor.controller(containerTask({ Image: "covey-no-such-image" }));
  await assert.rejects(controller.prepare(never), {
    code: "not_found",
    message: /^No such image: covey-no-such-image:latest/,
  });
  await executor.close();
});

onEngine("Docker: a program that does not exist is said in Docker's words", async (world) => {
  const executor = await world.executor();
  // By the second one the stream of events is open, which brings none of a start that fails.
  for (let attempt = 0; attempt < 2; attempt++) {
    const controller = await executor.controller(containerTask({ Command: ["/no/such"] }));
    await controller.prepare(never);
    assert.equal((await controller.status())?.ExitCode, 0);
    await assert.rejects(controller.start(never), /^CoveyError: starting container failed: .*\/no\/such/);
    assert.equal((await controller.status())?.ExitCode, 127);
  }
  await executor.close();
});

onEngine("Docker: another container with the task's name is not touched", async (world) => {
  const executor = await world.executor();
  const task = containerTask({ Command: ["true"] });
  const { Id } = await world.engine.call<{ Id: string }>("POST", "/containers/create", {
    query: { name: `covey-test.1.${task.ID}` },
    body: { Image: TEST_IMAGE, Cmd: ["true"], Labels: { "com.docker.swarm.node.id": NODE_ID } },
  });
  const controller = await executor.controller(task);
  await assert.rejects(controller.prepare(never), { code: "already_exists" });
  await controller.remove(never);
  await world.engine.call("GET", `/containers/${Id}/json`);
  await executor.close();
});

onEngine("Docker: privileges that no option of the stock client names are the container's", async (world) => {
  const executor = await world.executor();
  const says = "grep -q 'NoNewPrivs:.1' /proc/self/status && grep -q 'Seccomp:.0' /proc/self/status";
  const controller = await executor.controller(containerTask({
    Command: ["sh", "-c", says],
    Privileges: {
      NoNewPrivileges: true,
      Seccomp: { Mode: "unconfined" },
      AppArmor: { Mode: "disabled" },
      SELinuxContext: { Disable: true },
    },
  }));
  await controller.prepare(never);
  await controller.start(never);
  assert.deepEqual(await controller.wait(never), { ExitCode: 0 });
  const { ContainerID } = (await controller.status())!;
  const { HostConfig } = await world.engine.call<{ HostConfig: { SecurityOpt: string[] } }>(
    "GET",
    `/containers/${ContainerID}/json`,
  );
  assert.deepEqual(HostConfig.SecurityOpt, [
    "label=disable",
    "seccomp=unconfined",
    "apparmor=unconfined",
    "no-new-privileges",
  ]);
  await controller.remove(never);
  await executor.close();
});

Deno.test("Docker: what only newer engines know is asked of those, and for older ones the reason says what it was", async () => {
  const needs: [version: string, what: string, spec: Partial<ContainerSpec>][] = [
    ["1.44", "health checks with a start interval", { Healthcheck: { StartInterval: 2e9 } }],
    ["1.45", "volume subpaths", {
      Mounts: [{ Type: "volume", Source: "v", Target: "/v", VolumeOptions: { Subpath: "s" } }],
    }],
    ["1.48", "image mounts", { Mounts: [{ Type: "image", Source: "model", Target: "/m" }] }],
  ];
  for (const old of [false, true]) {
    for (const [version, what, spec] of needs) {
      const tooNew = `client version ${version} is too new. Maximum supported API version is 1.41`;
      const create = `POST /v${version}/containers/create`;
      const engine = await fakeEngine((_, route) => {
        if (route !== create) return Response.json({ Id: "image" });
        return old ? failure(400, tooNew) : Response.json({ Id: "c".repeat(64) });
      });
      const executor = createDockerExecutor(context, { socket: engine.socket });
      const controller = await executor.controller(containerTask(spec));
      const message = `${what} need an engine of API ${version} or newer: ${tooNew}`;
      if (old) await assert.rejects(controller.prepare(never), { code: "invalid_argument", message });
      else await controller.prepare(never);
      assert.ok(engine.calls.includes(create));
      await executor.close();
      await engine.close();
    }
  }
});

Deno.test("Docker: the images that a task mounts are pulled as well, with credentials for their own registry only", async () => {
  const pulls: string[] = [];
  const engine = await fakeEngine((request, route) => {
    if (route === "POST /images/create") {
      const image = new URL(request.url).searchParams.get("fromImage");
      pulls.push(`${image} ${request.headers.get("X-Registry-Auth") ?? "-"}`);
    }
    if (route.startsWith("GET /images/")) return failure(404, "No such image");
    return Response.json({ Id: "c".repeat(64) });
  });
  const executor = createDockerExecutor(context, { socket: engine.socket });
  const controller = await executor.controller(containerTask({
    Image: "a.example/app:1",
    PullOptions: { RegistryAuth: "c2VjcmV0" },
    Mounts: [
      { Type: "image", Source: "a.example/model:2", Target: "/own" },
      { Type: "image", Source: "b.example/model:2", Target: "/other" },
    ],
  }));
  await controller.prepare(never);
  assert.deepEqual(pulls, [
    "a.example/app:1 c2VjcmV0",
    "a.example/model:2 c2VjcmV0",
    "b.example/model:2 -",
  ]);
  await executor.close();
  await engine.close();
});

const health = (command: string) => ({
  Command: ["sleep", "1000"],
  StopGracePeriod: 0,
  Healthcheck: { Test: ["CMD-SHELL", command], Interval: 5e7, Timeout: 5e9, Retries: 2 },
});

onEngine("Docker: a container with a health check has started once it is healthy", async (world) => {
  const executor = await world.executor();
  const controller = await executor.controller(containerTask(health("true")));
  await controller.prepare(never);
  await controller.start(never);
  const { ContainerID } = (await controller.status())!;
  const found = await world.engine.call<{ State: { Health: { Status: string } } }>(
    "GET",
    `/containers/${ContainerID}/json`,
  );
  assert.equal(found.State.Health.Status, "healthy");
  await controller.remove(never);
  await executor.close();
});

onEngine(
  "Docker: a container that is unhealthy is stopped and fails, at the start or later",
  async (world) => {
    const executor = await world.executor();
    const sick = await executor.controller(containerTask(health("false")));
    await sick.prepare(never);
    await assert.rejects(sick.start(never), { message: "unhealthy container", retryable: false });
    assert.equal((await sick.status())!.PID, 0);

    const later = await executor.controller(containerTask(health("! test -e /tmp/sick")));
    await later.prepare(never);
    await later.start(never);
    const waiting = later.wait(never);
    const { ContainerID } = (await later.status())!;
    const { Id } = await world.engine.call<{ Id: string }>("POST", `/containers/${ContainerID}/exec`, {
      body: { Cmd: ["touch", "/tmp/sick"] },
    });
    await world.engine.call("POST", `/exec/${Id}/start`, { body: { Detach: true } });
    await assert.rejects(waiting, { message: "unhealthy container" });
    assert.equal((await later.status())!.PID, 0);
    await executor.close();
  },
);

onEngine("Docker: a container removed by somebody else still has its exit code", async (world) => {
  const executor = await world.executor();
  const task = containerTask({ Command: ["sleep", "1000"] });
  const controller = await executor.controller(task);
  await controller.prepare(never);
  await controller.start(never);
  const waiting = controller.wait(never);
  await world.vanish(task, controller);
  assert.equal((await waiting).ExitCode, 137);
  await controller.shutdown(never);
  await controller.remove(never);
  await executor.close();
});

onEngine(
  "Docker: a container that has ended and is restarted by hand is told of, and found by the next agent",
  async (world) => {
    const executor = await world.executor();
    const task = containerTask({ Command: ["sleep", "1000"], StopGracePeriod: 0 });
    let controller = await executor.controller(task);
    await controller.prepare(never);
    await controller.start(never);
    const { ContainerID } = (await controller.status())!, handle = controller.handle()!;
    const byHand = (what: string) =>
      world.engine.call("POST", `/containers/${ContainerID}/${what}`, { query: { t: "0" } });
    const waiting = controller.wait(never);
    await byHand("stop");
    assert.equal((await waiting).ExitCode, 137);
    const revived = controller.revived!(never);
    await byHand("restart");
    await revived;
    await controller.shutdown(never);
    assert.equal((await controller.status())!.PID, 0);
    await controller.close();
    await byHand("start");
    controller = await executor.recover(task, handle);
    await controller.revived!(never);
    await controller.remove(never);
    await executor.close();
  },
);

onEngine("Docker: a program that takes more memory than its limit says so", async (world) => {
  const executor = await world.executor();
  const task = containerTask({ Command: ["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"] });
  task.Spec.Resources = { Limits: { MemoryBytes: 16 * 2 ** 20 } };
  const controller = await executor.controller(task);
  await controller.prepare(never);
  await controller.start(never);
  assert.deepEqual(await controller.wait(never), { ExitCode: 137, Reason: "out of memory" });
  await controller.remove(never);
  await executor.close();
});

Deno.test("Docker: a program that fails and is made for another platform says so, and no other", async () => {
  const reasons: (string | undefined)[] = [];
  for (const Architecture of ["arm64", "amd64", "386"]) {
    const task = containerTask({}), id = "e".repeat(64);
    const engine = await fakeEngine((_, route) => {
      if (route === "GET /events") return new Response("");
      if (route === "GET /info") return Response.json({ OSType: "linux", Architecture: "x86_64" });
      if (route.startsWith("GET /images/")) return Response.json({ Id: "i", Os: "linux", Architecture });
      const State = { Status: "exited", Running: false, Pid: 0, ExitCode: 1, Error: "" };
      const labels = { "com.docker.swarm.task.id": task.ID };
      return Response.json({ Id: id, Image: "sha256:i", Config: { Labels: labels }, State });
    });
    const executor = createDockerExecutor(context, { socket: engine.socket, clock: new FakeClock() });
    const controller = await executor.recover(task, { version: 1, data: { ContainerID: id } });
    reasons.push((await controller.wait(never)).Reason);
    await executor.close();
    await engine.close();
  }
  assert.deepEqual(reasons, [
    "the image is for linux/arm64, this device is linux/x86_64",
    undefined,
    undefined,
  ]);
});

Deno.test("Docker: an end that was missed while the event stream was broken is found by inspecting", async () => {
  const streams: ReadableStreamDefaultController[] = [];
  const opened = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let running = true, id = "";
  const labels: Record<string, string> = {};
  const engine = await fakeEngine((_, route) => {
    if (route === "GET /events") {
      return new Response(
        new ReadableStream({
          start(stream) {
            stream.enqueue(new TextEncoder().encode("\n"));
            opened[streams.push(stream) - 1]?.resolve();
          },
        }),
      );
    }
    if (!route.startsWith("GET /containers/")) return failure(500, `unexpected ${route}`);
    const State = {
      Status: running ? "running" : "exited",
      Running: running,
      Pid: 7,
      ExitCode: 6,
      Error: "",
    };
    return Response.json({ Id: id, Config: { Labels: labels }, State });
  });
  const clock = new FakeClock(), task = containerTask({});
  labels["com.docker.swarm.task.id"] = task.ID;
  id = "c".repeat(64);
  const executor = createDockerExecutor(context, { socket: engine.socket, clock });
  const controller = await executor.recover(task, { version: 1, data: { ContainerID: id } });
  const waiting = controller.wait(never);
  await opened[0]!.promise;
  await settle();
  running = false;
  streams[0]!.close();
  await untilPending(clock);
  await clock.advance(1000);
  await opened[1]!.promise;
  assert.equal((await waiting).ExitCode, 6);
  await executor.close();
  streams[1]!.close();
  await engine.close();
});

Deno.test("Docker: a removal that the engine never finishes is no success, but one to be tried again", async () => {
  const clock = new FakeClock(), task = containerTask({}), id = "d".repeat(64);
  const labels = { "com.docker.swarm.task.id": task.ID };
  const engine = await fakeEngine((_, route) => {
    if (route.startsWith("DELETE")) return failure(409, `removal of container ${id} is already in progress`);
    return Response.json({
      Id: id,
      Config: { Labels: labels },
      State: { Status: "removing", StartedAt: "" },
    });
  });
  const executor = createDockerExecutor(context, { socket: engine.socket, clock });
  const controller = await executor.recover(task, { version: 1, data: { ContainerID: id } });
  let failed: CoveyError | undefined;
  const removing = controller.remove(never).catch((error) => void (failed = error));
  while (failed === undefined) {
    await settle(1);
    if (clock.pending > 0) await clock.advance(100);
  }
  await removing;
  assert.equal(failed?.retryable, true);
  assert.match(failed!.message, /Cannot remove container d+: the engine is still at it/);
  assert.deepEqual(controller.handle()?.data, { ContainerID: id });
  await executor.close();
  await engine.close();
});

Deno.test("Docker: a sweep asks for this node's containers alone, and one that stays holds up no other", async () => {
  const containers = ["a", "b", "c"].map((task) => ({
    Id: task.repeat(64),
    Labels: { "com.docker.swarm.task.id": task },
  }));
  let filters: { label: string[] } | undefined;
  const engine = await fakeEngine((request, route) => {
    if (route === "GET /containers/json") {
      filters = JSON.parse(new URL(request.url).searchParams.get("filters")!);
      return Response.json(containers);
    }
    return route.includes("bbb")
      ? failure(500, "device or resource busy")
      : new Response(null, { status: 204 });
  });
  const executor = createDockerExecutor(context, { socket: engine.socket });
  await assert.rejects(executor.sweep((id) => id === "a", never), /device or resource busy/);
  assert.deepEqual(filters?.label, [
    "com.docker.swarm.task.id",
    `com.docker.swarm.node.id=${NODE_ID}`,
  ]);
  assert.deepEqual(
    engine.calls.slice(1).map((call) => call.slice(0, "DELETE /containers/x".length)),
    ["DELETE /containers/b", "DELETE /containers/c"],
  );
  await executor.close();
  await engine.close();
});

/** Waits until something waits for the clock. */
async function untilPending(clock: FakeClock): Promise<void> {
  while (clock.pending === 0) await settle(1);
}

onEngine("Docker: the socket of the tests is the engine's", async () => {
  assert.ok((await Deno.stat(ENGINE_SOCKET)).isSocket);
});
