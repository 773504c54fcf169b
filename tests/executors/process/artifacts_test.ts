/** Files that programs bring with them, from a server that the tests make. */
import assert from "node:assert/strict";
import type { Artifact } from "../../../api/artifact.ts";
import { CoveyError } from "../../../api/errors.ts";
import type { DenoSpec } from "../../../api/deno_spec.ts";
import type { ProcessSpec } from "../../../api/service.ts";
import type { Task } from "../../../api/task.ts";
import { can } from "../../../executors/executor.ts";
import { freePort } from "../../support/programs.ts";
import { AgentUnderTest } from "../../agent/support/agent_process.ts";
import { RealManager } from "../../agent/support/real_manager.ts";
import { denoFixture, denoTask } from "../../conformance/deno_fixture.ts";
import { processFixture, processTask } from "../../conformance/process_fixture.ts";

const never = new AbortController().signal;
const HERE = { OS: Deno.build.os, Architecture: Deno.build.arch };
type World = Awaited<ReturnType<typeof processFixture>>;

async function sha256(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return new Uint8Array(digest).toHex();
}

/** A server on loopback with what it was asked for. */
class Files {
  readonly asked: string[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  answer: (request: Request, path: string) => Response | Promise<Response> = () =>
    new Response("no", { status: 404 });

  constructor() {
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
      const path = new URL(request.url).pathname, range = request.headers.get("range");
      this.asked.push(range ? `${path} ${range}` : path);
      return this.answer(request, path);
    });
  }

  get base(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  async close(): Promise<void> {
    await this.#server.shutdown();
  }
}

async function inWorld(run: (world: World, files: Files) => Promise<void>, options = {}) {
  const world = await processFixture({ fetchSpreadMs: 0, ...options }), files = new Files();
  try {
    await run(world, files);
  } finally {
    await files.close();
    await world.close();
  }
}

/** Runs a program to its end. */
async function ran(world: World, spec: ProcessSpec, service = "service"): Promise<string> {
  const task = ofService(processTask(spec), service), executor = await world.executor();
  const controller = await executor.controller(task);
  try {
    await controller.prepare(never);
    await controller.start(never);
    const { ExitCode } = await controller.wait(never);
    const log = await Deno.readTextFile(`${world.stateDir}/logs/${task.ID}.log`);
    return `${ExitCode} ${log}`;
  } finally {
    await controller.remove(never);
    await executor.close();
  }
}

function ofService(task: Task, ServiceID: string): Task {
  return { ...task, ServiceID };
}

/** Why a task is not made ready. */
async function refusal(world: World, Artifacts: Artifact[]): Promise<CoveyError> {
  return await ran(world, { Command: "true", Artifacts }).then(
    (log) => assert.fail(log),
    (thrown) => CoveyError.from(thrown),
  );
}

async function namesIn(folder: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(folder)) names.push(name);
  return names.sort();
}

Deno.test("Artifacts: a program and its data are fetched once for this platform, verified, and run by name", () =>
  inWorld(async (world, files) => {
    const program = '#!/bin/sh\ncat data.txt; cat "$PWD/data.txt"\n', data = "from afar\n";
    files.answer = (_, path) => new Response(path === "/app-here" ? program : data);
    const Artifacts = [
      {
        Name: "app",
        Platform: { Architecture: "s390x" },
        URL: `${files.base}/other`,
        SHA256: "0".repeat(64),
      },
      { Name: "app", Platform: HERE, URL: `${files.base}/app-here`, SHA256: await sha256(program) },
      { URL: `${files.base}/1.2/data.txt?x=y`, SHA256: await sha256(data), Mode: 0o444 },
    ];
    const spec = { Command: "app", Artifacts };
    assert.equal(await ran(world, spec), "0 from afar\nfrom afar\n");
    assert.equal(await ran(world, spec), "0 from afar\nfrom afar\n");
    assert.deepEqual(files.asked, ["/app-here", "/1.2/data.txt"]);
    assert.deepEqual(await namesIn(`${world.stateDir}/tasks`), []);
    // What the card has damaged is not run.
    const cached = `${world.stateDir}/artifacts/${Artifacts[1]!.SHA256}/app`;
    await Deno.chmod(cached, 0o700);
    await Deno.writeTextFile(cached, "#!/bin/sh\necho damaged\n");
    assert.equal(await ran(world, spec), "0 from afar\nfrom afar\n");
    assert.equal(files.asked.length, 3);
  }));

Deno.test("Artifacts: a fetch goes on where an earlier one was cut off, and starts anew where the server cannot", () =>
  inWorld(async (world, files) => {
    const whole = "0123456789".repeat(1000);
    let ranges = true, cut = true;
    files.answer = (request) => {
      const from = ranges ? Number(/\d+/.exec(request.headers.get("range") ?? "")?.[0] ?? 0) : 0;
      const rest = whole.slice(from);
      if (!cut) {
        const headers = { "content-range": `bytes ${from}-${whole.length - 1}/${whole.length}` };
        return new Response(rest, from > 0 ? { status: 206, headers } : {});
      }
      cut = false;
      const body = new ReadableStream({
        start(controller) {
          controller.enqueue(new TextEncoder().encode(rest.slice(0, 4000)));
          setTimeout(() => controller.error(new Error("cut")), 200);
        },
      });
      return new Response(body);
    };
    const Artifacts = [{ Name: "data", URL: `${files.base}/data`, SHA256: await sha256(whole) }];
    const error = await refusal(world, Artifacts);
    assert.match(error.message, /^Cannot fetch artifact data from http:\/\/127[^ ]+: /);
    assert.ok(error.retryable);
    assert.match(await ran(world, { Command: "cat", Args: ["data"], Artifacts }), /^0 0123/);
    assert.deepEqual(files.asked, ["/data", "/data bytes=4000-"]);
    // Another file, of a server that knows no parts.
    ranges = false;
    cut = true;
    const other = { ...Artifacts[0]!, SHA256: await sha256(`${whole}!`) };
    await refusal(world, [other]);
    files.answer = () => new Response(`${whole}!`);
    assert.match(await ran(world, { Command: "cat", Args: ["data"], Artifacts: [other] }), /!$/);
  }));

Deno.test("Artifacts: an agent that ends while one is fetched leaves what it has got to the next", () =>
  inWorld(async (world, files) => {
    const whole = "0123456789".repeat(1000);
    let first = true;
    files.answer = (request) => {
      const from = Number(/\d+/.exec(request.headers.get("range") ?? "")?.[0] ?? 0);
      if (!first) {
        const headers = { "content-range": `bytes ${from}-${whole.length - 1}/${whole.length}` };
        return new Response(whole.slice(from), { status: 206, headers });
      }
      first = false;
      return new Response(
        new ReadableStream({
          start(controller) {
            controller.enqueue(new TextEncoder().encode(whole.slice(0, 5000)));
            // Nothing more comes.
          },
        }),
      );
    };
    const Artifacts = [{ Name: "data", URL: `${files.base}/data`, SHA256: await sha256(whole) }];
    const spec = { Command: "wc", Args: ["-c", "data"], Artifacts };
    const executor = await world.executor();
    const controller = await executor.controller(processTask(spec));
    const given = new AbortController();
    const preparing = controller.prepare(given.signal);
    const part = `${world.stateDir}/tasks/fetch-${Artifacts[0]!.SHA256.slice(0, 32)}/part`;
    const watch = Deno.watchFs(`${world.stateDir}/tasks`);
    const isThere = () => Deno.stat(part).then(({ size }) => size === 5000, () => false);
    if (!await isThere()) { for await (const _ of watch) if (await isThere()) break; }
    given.abort(new Error("the agent ends"));
    await assert.rejects(preparing, /the agent ends/);
    await executor.close();
    // The next one sweeps what it does not know, but not that.
    const next = await world.executor();
    assert.ok(can(next, "sweep"));
    await next.sweep(() => false, never);
    await next.close();
    assert.match(await ran(world, spec), /^0 10000 data/);
    assert.deepEqual(files.asked, ["/data", "/data bytes=5000-"]);
  }));

Deno.test("Artifacts: what cannot be fetched is the task's reason, and says whether time can help", () =>
  inWorld(async (world, files) => {
    const SHA256 = await sha256("right");
    const at = (path: string) => [{ Name: "app", URL: `${files.base}${path}`, SHA256 }];
    files.answer = (_, path) => {
      if (path === "/wrong") return new Response("wrong");
      if (path === "/busy") return new Response("", { status: 503 });
      if (path === "/large") return new Response("x".repeat(2000));
      if (path === "/round") return new Response("", { status: 302, headers: { location: "/round" } });
      return new Response("", { status: 404 });
    };
    const cases: [string, RegExp, boolean][] = [
      ["/none", /app: http:\S+\/none answers with status 404$/, false],
      ["/busy", /app from http:\S+\/busy: it answers with status 503$/, true],
      ["/wrong", /app: what http:\S+\/wrong gives has the SHA-256 sum [0-9a-f]{64}, not /, false],
      ["/large", /app: http:\S+\/large has more than 1000 bytes$/, false],
      ["/round", /app: http:\S+\/round leads to more than 5 other addresses$/, false],
    ];
    for (const [path, words, retryable] of cases) {
      const error = await refusal(world, at(path));
      assert.match(error.message, words);
      assert.equal(error.retryable, retryable, path);
    }
    const nowhere = await refusal(world, [{
      Name: "app",
      URL: `http://127.0.0.1:${freePort()}/app`,
      SHA256,
    }]);
    assert.ok(nowhere.retryable);
    assert.match(nowhere.message, /refused/i);
    const foreign = [{ Name: "app", URL: `${files.base}/x`, SHA256, Platform: { OS: "plan9" } }];
    assert.match((await refusal(world, foreign)).message, /no artifact app for linux\//);
  }, { maxArtifactBytes: 1000 }));

Deno.test("Artifacts: what is on the device waits for no fetch of another task", () =>
  inWorld(async (world, files) => {
    const asked = Promise.withResolvers<void>();
    files.answer = (_, path) => {
      if (path === "/here") return new Response("here");
      asked.resolve();
      // It sends nothing.
      return new Response(new ReadableStream({ start() {} }));
    };
    const here = {
      Command: "cat",
      Args: ["here"],
      Artifacts: [{ URL: `${files.base}/here`, SHA256: await sha256("here") }],
    };
    assert.equal(await ran(world, here), "0 here");
    const executor = await world.executor(), given = new AbortController();
    const slow = processTask({
      Command: "true",
      Artifacts: [{ URL: `${files.base}/slow`, SHA256: "0".repeat(64) }],
    });
    const preparing = (await executor.controller(slow)).prepare(given.signal);
    await asked.promise;
    const controller = await executor.controller(processTask(here));
    await controller.start(never);
    assert.equal((await controller.wait(never)).ExitCode, 0);
    await controller.remove(never);
    given.abort(new Error("enough"));
    await assert.rejects(preparing, /enough/);
    await executor.close();
  }));

Deno.test("Artifacts: a script's module and its data may be some, within what the script may do", async () => {
  const world = await denoFixture({ fetchSpreadMs: 0 }), files = new Files();
  const module = `console.log(await Deno.readTextFile("data.txt").catch((error) => error.name));`;
  files.answer = (_, path) => new Response(path === "/app.ts" ? module : "from afar");
  const Artifacts = [
    { URL: `${files.base}/app.ts`, SHA256: await sha256(module) },
    { URL: `${files.base}/data.txt`, SHA256: await sha256("from afar") },
  ];
  try {
    const cases: [DenoSpec["Permissions"], string][] = [[{}, "NotCapable"], [{ Read: ["."] }, "from afar"]];
    for (const [Permissions, words] of cases) {
      const task = denoTask({ Module: "app.ts", Artifacts, Permissions: Permissions! });
      const executor = await world.executor(), controller = await executor.controller(task);
      await controller.prepare(never);
      await controller.start(never);
      await controller.wait(never);
      assert.equal(await Deno.readTextFile(`${world.stateDir}/logs/${task.ID}.log`), `${words}\n`);
      await controller.remove(never);
      await executor.close();
    }
    assert.deepEqual(files.asked, ["/app.ts", "/data.txt"]);
  } finally {
    await files.close();
    await world.close();
  }
});

Deno.test("Artifacts: an address that leads elsewhere is followed", () =>
  inWorld(async (world, files) => {
    const target = new Files();
    target.answer = () => new Response("found");
    files.answer = () => new Response("", { status: 302, headers: { location: `${target.base}/deep` } });
    const Artifacts = [{ Name: "data", URL: `${files.base}/data`, SHA256: await sha256("found") }];
    assert.equal(await ran(world, { Command: "cat", Args: ["data"], Artifacts }), "0 found");
    assert.deepEqual(target.asked, ["/deep"]);
    await target.close();
  }));

Deno.test("Artifacts: a service's last version and the one before are kept, and no other", () =>
  inWorld(async (world, files) => {
    files.answer = (_, path) => new Response(path);
    const version = async (n: number) => [
      { Name: "data", URL: `${files.base}/${n}`, SHA256: await sha256(`/${n}`) },
    ];
    for (const n of [1, 2, 3]) await ran(world, { Command: "true", Artifacts: await version(n) });
    await ran(world, { Command: "true", Artifacts: await version(9) }, "other");
    const kept = [await version(2), await version(3), await version(9)].map(([artifact]) => artifact!.SHA256);
    assert.deepEqual(await namesIn(`${world.stateDir}/artifacts`), [...kept, "uses.json"].sort());
    // Back to the one before takes no network, and nothing is written when nothing changes.
    const { mtime } = await Deno.stat(`${world.stateDir}/artifacts/uses.json`);
    await ran(world, { Command: "true", Artifacts: await version(3) });
    assert.deepEqual((await Deno.stat(`${world.stateDir}/artifacts/uses.json`)).mtime, mtime);
    await ran(world, { Command: "true", Artifacts: await version(2) });
    assert.deepEqual(files.asked, ["/1", "/2", "/3", "/9"]);
  }));

Deno.test("Artifacts: a device takes no more in a second than it shall", () =>
  inWorld(async (world, files) => {
    let sent = 0;
    const whole = "x".repeat(300_000);
    files.answer = () =>
      new Response(
        new ReadableStream({
          pull(controller) {
            controller.enqueue(new TextEncoder().encode(whole.slice(sent, sent + 10_000)));
            sent += 10_000;
            if (sent >= whole.length) controller.close();
          },
        }),
      );
    const Artifacts = [{ Name: "data", URL: `${files.base}/data`, SHA256: await sha256(whole) }];
    // Which at 200,000 bytes a second takes half a second longer.
    const second = Promise.withResolvers<string>(),
      timer = setTimeout(() => second.resolve("a second"), 1000);
    const run = ran(world, { Command: "true", Artifacts });
    assert.equal(await Promise.race([second.promise, run]), "a second");
    await run;
    clearTimeout(timer);
  }, { fetchRate: 200_000 }));

Deno.test("Artifacts: a device fetches them though its agent's sandbox reaches no such host, and keeps them", async () => {
  const manager = await RealManager.start(), agent = new AgentUnderTest(manager), files = new Files();
  const program = "#!/bin/sh\nexec sleep 1000\n";
  files.answer = (_, path) => path === "/app" ? new Response(program) : new Response("", { status: 404 });
  agent.start();
  try {
    const nodeID = await manager.readyNode();
    const app = { Name: "app", URL: `${files.base}/app`, SHA256: await sha256(program) };
    await manager.assign(nodeID, ["here"], { Command: "app", Artifacts: [app] });
    await manager.until(() => manager.store.get("tasks", "here")?.Status.State === "running");
    const gone = { URL: `${files.base}/gone`, SHA256: "0".repeat(64) };
    await manager.assign(nodeID, ["gone"], { Command: "gone", Artifacts: [gone] });
    const why = await manager.until(() => {
      const status = manager.store.get("tasks", "gone")?.Status;
      return status?.State === "rejected" && status.Err;
    });
    assert.match(why, /Cannot fetch artifact gone: http:\S+\/gone answers with status 404/);
    await manager.assign(nodeID, ["again"], { Command: "app", Artifacts: [app] });
    await manager.until(() => manager.store.get("tasks", "again")?.Status.State === "running");
    assert.deepEqual(files.asked, ["/app", "/gone"]);
    assert.equal(await agent.leave(), 0);
  } finally {
    await files.close();
    await manager.stop();
  }
});
