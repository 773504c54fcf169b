import assert from "node:assert/strict";
import { CoveyError } from "../../../api/errors.ts";
import type { Task } from "../../../api/task.ts";
import { whyNotBegin } from "../../../agent/gate.ts";
import { LocalServer, type LocalTasks } from "../../../agent/local/local_server.ts";
import { Locks } from "../../../agent/local/locks.ts";
import { Passes } from "../../../agent/local/pass.ts";
import { LocalClient } from "../../../cli/local_client.ts";
import { createMockExecutor } from "../../../executors/mock/mock_executor.ts";
import { MockWorld } from "../../../executors/mock/mock_world.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { inFolder } from "../../support/programs.ts";
import { testTask } from "../../manager/dispatcher/harness.ts";
import { deviceFacts } from "../support/cluster.ts";

interface World {
  folder: string;
  clock: FakeClock;
  locks: Locks;
  passes: Passes;
  tasks: Map<string, Task>;
  restarted: string[];
  client: LocalClient;
  /** What a task asks with a pass, or what stands in its place. */
  asks(
    token: string,
    method: string,
    path: string,
    body?: unknown,
  ): Promise<{ status: number; json: unknown }>;
}

async function withServer(test: (world: World) => Promise<void>): Promise<void> {
  await inFolder(async (folder) => {
    const clock = new FakeClock(), locks = new Locks(folder, clock), world = new MockWorld(clock);
    await locks.load();
    const passes = await Passes.open(folder, ["web", "sensor-*"]), restarted: string[] = [];
    const tasks = new Map<string, Task>([["t1", labeled(testTask("t1", "n1", { State: "running" }))]]);
    const executor = createMockExecutor(world);
    world.create("t1").lines.push({
      Stream: "stdout",
      Time: "2026-01-01T00:00:00.000000000Z",
      Data: new TextEncoder().encode("line\n"),
    });
    world.programs.get("t1")!.ended.resolve({ ExitCode: 0 });
    const worker: LocalTasks = {
      access: (id) => {
        const task = tasks.get(id);
        const handle = { version: 1, data: { TaskID: id } };
        return task &&
          { executor, handle, over: task.Status.State !== "running", task: () => Promise.resolve(task) };
      },
      watch: () => () => {},
      *list() {
        for (const task of tasks.values()) yield { task, status: task.Status };
      },
      successorOf: (id) => {
        const task = [...tasks.values()].find(({ Swap }) => Swap?.With === id);
        return task && { task, status: task.Status };
      },
      restart: (id) => {
        if (tasks.get(id)!.DesiredState !== "running") {
          throw new CoveyError("failed_precondition", "not running");
        }
        restarted.push(id);
      },
    };
    const server = new LocalServer({ folder, clock, worker, locks, passes, group: undefined });
    await server.start();
    const client = new LocalClient(folder),
      http = Deno.createHttpClient({ proxy: { transport: "unix", path: passes.socket } });
    const asks: World["asks"] = async (token, method, path, body) => {
      const headers = { Authorization: `Bearer ${token}` };
      const init = {
        method,
        headers,
        client: http,
        ...(body !== undefined && { body: JSON.stringify(body) }),
      };
      const response = await fetch(`http://covey${path}`, init);
      return { status: response.status, json: await response.json() };
    };
    try {
      await test({ folder, clock, locks, passes, tasks, restarted, client, asks });
    } finally {
      client.close();
      http.close();
      await server.close();
    }
  });
}

function labeled(task: Task, Labels: Record<string, string> = { "covey.local": "true" }): Task {
  return { ...task, ServiceAnnotations: { ...task.ServiceAnnotations, Labels } };
}

Deno.test("Local: a task with a pass finds itself, its lock and what waits for it, and asks for a restart", () =>
  withServer(async ({ passes, asks, tasks, restarted, clock }) => {
    const token = await passes.token("t1");
    const before = await asks(token, "GET", "/v1/task");
    assert.equal(before.status, 200);
    const { ID, Service, State, UpdateWaits, LockedUntil } = before.json as Record<string, unknown>;
    assert.deepEqual([ID, Service, State, UpdateWaits, LockedUntil], [
      "t1",
      "web",
      "running",
      false,
      undefined,
    ]);
    const next = testTask("t2", "n1", { State: "ready", Swap: { With: "t1", Deadline: 1, Monitor: 1 } });
    next.Status.Swap = { Kind: "locked", Reason: "the task holds its update lock" };
    tasks.set("t2", next);
    const locked = await asks(token, "PUT", "/v1/lock", { Seconds: 60 });
    assert.deepEqual(locked, { status: 200, json: { Until: new Date(clock.now() + 60_000).toISOString() } });
    const during = (await asks(token, "GET", "/v1/task")).json as {
      UpdateWaits: boolean;
      Update: { Reason: string };
    };
    assert.equal(during.UpdateWaits, true);
    assert.equal(during.Update.Reason, "the task holds its update lock");
    assert.deepEqual(await asks(token, "DELETE", "/v1/lock"), { status: 200, json: {} });
    assert.equal((await asks(token, "POST", "/v1/restart")).status, 200);
    assert.deepEqual(restarted, ["t1"]);
    // What is another's, or everybody's, is not there for a task.
    for (const path of ["/v1/tasks", "/v1/tasks/t2/restart", "/v1/tasks/t1/logs", "/"]) {
      assert.equal((await asks(token, "GET", path)).status, 404, path);
    }
  }));

Deno.test("Local: nobody gets in without a pass, and no task that has ended or is of elsewhere", () =>
  withServer(async ({ passes, asks, tasks, folder }) => {
    const token = await passes.token("t1");
    const forged = [
      "",
      "t1",
      "t1.",
      "t1.00",
      token.slice(0, -1),
      `${token}0`,
      token.replace("t1", "t2"),
      `__proto__.${"0".repeat(64)}`,
    ];
    for (const wrong of [...forged, await passes.token("elsewhere")]) {
      assert.equal((await asks(wrong, "GET", "/v1/task")).status, 401, wrong);
    }
    tasks.set("t1", { ...tasks.get("t1")!, Status: { ...tasks.get("t1")!.Status, State: "complete" } });
    assert.equal((await asks(token, "GET", "/v1/task")).status, 401);
    const mode = async (path: string) => (await Deno.stat(path)).mode! & 0o777;
    assert.equal(await mode(`${folder}/local/agent.sock`), 0o600);
    assert.equal(await mode(`${folder}/local.key`), 0o600);
  }));

Deno.test("Local: only tasks that ask for it, and whose service the device lets in, get a pass, and the same again later", () =>
  withServer(async ({ passes, folder }) => {
    const task = testTask("t1", "n1"), asked = labeled(task);
    assert.equal(await passes.outfit(task), task);
    assert.equal(
      await passes.outfit(labeled(task, { "covey.local": "yes" })).then((same) => same.Spec),
      task.Spec,
    );
    const named = (Name: string) =>
      passes.outfit({ ...asked, ServiceAnnotations: { ...asked.ServiceAnnotations, Name } });
    assert.equal((await named("other")).Spec, task.Spec);
    assert.equal((await named("web2")).Spec, task.Spec);
    const token = await passes.token("t1");
    const env = [`COVEY_LOCAL_SOCKET=${folder}/local/app/agent.sock`, `COVEY_LOCAL_TOKEN=${token}`];
    assert.deepEqual((await named("web")).Spec.ProcessSpec!.Env, env);
    assert.deepEqual((await named("sensor-7")).Spec.ProcessSpec!.Env, env);
    assert.equal(await (await Passes.open(folder, [])).token("t1"), token);
    const container = labeled(
      testTask("c1", "n1", {
        Spec: { Runtime: "container", ForceUpdate: 0, ContainerSpec: { Image: "i", Env: ["A=1"] } },
      }),
    );
    const { Env, Mounts } = (await passes.outfit(container)).Spec.ContainerSpec!;
    assert.deepEqual(Env, [
      "A=1",
      "COVEY_LOCAL_SOCKET=/run/covey/agent.sock",
      `COVEY_LOCAL_TOKEN=${await passes.token("c1")}`,
    ]);
    assert.deepEqual(Mounts, [{
      Type: "bind",
      Source: `${folder}/local/app`,
      Target: "/run/covey",
      ReadOnly: true,
    }]);
  }));

Deno.test("Local: a lock keeps the task's own successor away until it ends, whoever has gone, and an agent that starts anew knows it", () =>
  withServer(async ({ locks, clock, folder }) => {
    const old = testTask("t1", "n1"), other = testTask("t3", "n1"), next = testTask("t2", "n1");
    const why = (which: Locks, of: Task) =>
      whyNotBegin(next, of, [], deviceFacts(clock.now(), { taskLocks: which.ofTasks }))?.Kind;
    await locks.lockTask("t1", 60);
    const anew = new Locks(folder, clock);
    await anew.load();
    for (const each of [locks, anew]) {
      assert.deepEqual([why(each, old), why(each, other)], ["locked", undefined]);
    }
    await clock.advance(60_000);
    for (const each of [locks, anew]) assert.equal(why(each, old), undefined);
    for (const seconds of [0, -1, 1.5, 86_401, NaN, Infinity]) {
      await assert.rejects(locks.lockTask("t1", seconds), { code: "invalid_argument" });
    }
    await Deno.writeTextFile(`${folder}/task-locks.json`, "{damaged");
    await anew.load();
  }));

Deno.test("Local: the person in front of the device sees, restarts, reads and locks without a manager", () =>
  withServer(async ({ client, restarted, folder, clock, tasks }) => {
    const listed = await client.call<{ ID: string }[]>("GET", "/v1/tasks");
    assert.deepEqual(listed.map(({ ID }) => ID), ["t1"]);
    await client.call("POST", "/v1/tasks/web/restart");
    await client.call("POST", "/v1/tasks/web.1/restart");
    assert.deepEqual(restarted, ["t1", "t1"]);
    let text = "";
    for await (const piece of client.text("/v1/tasks/t1/logs?tail=10", new AbortController().signal)) {
      text += new TextDecoder().decode(piece);
    }
    assert.equal(text, "line\n");
    const { Until } = await client.call<{ Until: string }>("PUT", "/v1/lock", { Seconds: 600 });
    assert.equal(Date.parse(Until), clock.now() + 600_000);
    assert.equal((await Deno.readTextFile(`${folder}/update-lock`)).trim(), Until);
    await client.call("DELETE", "/v1/lock");
    await client.call("DELETE", "/v1/lock");
    await assert.rejects(Deno.stat(`${folder}/update-lock`));
    tasks.set("t2", testTask("t2", "n1", { State: "running" }));
    await assert.rejects(client.call("POST", "/v1/tasks/web/restart"), {
      code: "invalid_argument",
      message: /several/,
    });
    await assert.rejects(client.call("POST", "/v1/tasks/nobody/restart"), { code: "not_found" });
    await assert.rejects(client.call("GET", "/v1/tasks/t1/logs?tail=-1"), { code: "invalid_argument" });
    await assert.rejects(client.call("PUT", "/v1/lock", { Seconds: "long" }), { message: /no number/ });
  }));

Deno.test("Local: what is no request is refused with words, whatever is sent, and who sends half of one does not wait for ever", () =>
  withServer(async ({ folder, clock, client }) => {
    const send = async (bytes: Uint8Array | string) => {
      const connection = await Deno.connect({ transport: "unix", path: `${folder}/local/agent.sock` });
      const data = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes;
      await connection.write(data).catch(() => {});
      return connection;
    };
    const head = "POST /v1/lock HTTP/1.1\r\n";
    const wrong = [
      "nonsense\r\n\r\n",
      "GET nowhere HTTP/1.1\r\n\r\n",
      `${head}Content-Length: 99999999\r\n\r\n`,
      `${head}Content-Length: -1\r\n\r\n`,
      `${head}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      `PUT /v1/lock HTTP/1.1\r\nContent-Length: 5\r\n\r\n[1,2]`,
      `PUT /v1/lock HTTP/1.1\r\nContent-Length: 3\r\n\r\n{x}`,
      new Uint8Array(20_000).fill(65),
    ];
    for (const each of wrong) {
      const connection = await send(each);
      const answer = await new Response(connection.readable).text().catch(() => "HTTP/1.1 400 cut off");
      assert.match(answer, /^HTTP\/1\.1 400 /, String(each).slice(0, 60));
    }
    // Half a request holds a place for ten seconds.
    const half = await send("GET /v1/tas");
    await new Promise((resolve) => setTimeout(resolve, 50));
    await clock.advance(10_000);
    assert.match(await new Response(half.readable).text(), /takes more than 10 s/);
    assert.equal((await client.call<unknown[]>("GET", "/v1/tasks")).length, 1);
  }));
