import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { DenoSpec } from "../../../api/deno_spec.ts";
import { CoveyError } from "../../../api/errors.ts";
import type { Limits } from "../../../api/objects.ts";
import { createDenoExecutor } from "../../../executors/deno/deno_executor.ts";
import { denoFixture, denoTask, ranTask } from "../../conformance/deno_fixture.ts";
import { NODE_ID } from "../../conformance/tasks.ts";
import { copyShim } from "../process/hostile_agent.ts";
import { programLog } from "../../support/program_log.ts";

const never = new AbortController().signal;
type World = Awaited<ReturnType<typeof denoFixture>>;

async function inWorld(run: (world: World) => Promise<void>) {
  const world = await denoFixture();
  try {
    await run(world);
  } finally {
    await world.close();
  }
}

const ran = (world: World, spec: DenoSpec, limits?: Limits) => ranTask(world, denoTask(spec, limits));

/** True where control groups limit memory, so that what a script holds outside of its heap counts too. */
function canLimitMemory(): boolean {
  if (Deno.uid() !== 0) return false;
  try {
    return Deno.statSync("/sys/fs/cgroup/memory/cgroup.procs").isFile;
  } catch {
    const controllers = Deno.readTextFileSync("/sys/fs/cgroup/cgroup.controllers");
    return controllers.split(/\s/).includes("memory");
  }
}

/** A script that says of each expression what came of it. */
function attempts(expressions: Record<string, string>): string {
  const lines = Object.entries(expressions).map(([what, code]) =>
    `try { await (${code}); console.log("${what}: done"); } ` +
    `catch (error) { console.log("${what}: " + (error.name === "NotCapable" || /^Requires/.test(error.message) ? "refused" : error.message)); }`
  );
  return lines.join("\n");
}

Deno.test("Deno: a script sees its arguments and its folder, and is refused what its spec does not name", () =>
  inWorld(async (world) => {
    const json = `${world.stateDir}/data.json`;
    await Deno.writeTextFile(json, "{}");
    const importJSON = `import a from "file://${json}" with { type: "json" }; export default a;`;
    const data = `data:text/javascript,${encodeURIComponent(importJSON)}`;
    const Source = `const typed: string[] = Deno.args; console.log(typed.join("|"));\n` + attempts({
      read: `Deno.readTextFile("/etc/passwd")`,
      write: `Deno.writeTextFile("mine", "x")`,
      net: `Deno.connect({ port: 1 })`,
      listen: `(async () => Deno.listen({ port: 0 }))()`,
      env: `(async () => Deno.env.get("SECRET"))()`,
      run: `new Deno.Command("/bin/true").output()`,
      sys: `(async () => Deno.hostname())()`,
      ffi: `(async () => Deno.dlopen("/lib/x.so", {}))()`,
      "import of a file": `import("file://${json}", { with: { type: "json" } })`,
      "import through another": `import(${JSON.stringify(data)})`,
      asking: `Deno.permissions.request({ name: "read" }).then(({ state }) => { throw new Error(state); })`,
      cache: `caches.open("x").catch(() => { throw new Error("no place"); })`,
    });
    const spec = { Source, Args: ["a b", "--allow-all", ""], Env: ["SECRET=x"] };
    const { exit, log } = await ran(world, spec);
    assert.deepEqual(exit, { ExitCode: 0 });
    const refused = [
      "read",
      "write",
      "net",
      "listen",
      "env",
      "run",
      "sys",
      "ffi",
      "import of a file",
      "import through another",
    ];
    assert.deepEqual(log.trim().split("\n"), [
      "a b|--allow-all|",
      ...refused.map((what) => `${what}: refused`),
      "asking: denied",
      "cache: no place",
    ]);
  }));

Deno.test("Deno: no import of a script is read without the permission, nor fetched", () =>
  inWorld(async (world) => {
    const json = `${world.stateDir}/data.json`;
    await Deno.writeTextFile(json, "{}");
    const withJSON = `import a from "file://${json}" with { type: "json" }; console.log(a);`;
    const cases: [DenoSpec, RegExp][] = [
      [{ Source: withJSON }, /Requires read access to/],
      [{ Source: withJSON, Permissions: { Read: [json] } }, /^\{\}\n$/],
      [{ Source: `import "http://127.0.0.1:1/x.ts";`, Permissions: { Net: ["127.0.0.1"] } }, /--no-remote/],
      [{ Source: `import "npm:chalk";` }, /--no-npm/],
    ];
    for (const [spec, expected] of cases) assert.match((await ran(world, spec)).log, expected);
  }));

Deno.test("Deno: a script does what its spec names, of each kind of its own", () =>
  inWorld(async (world) => {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr as Deno.NetAddr;
    const Source = attempts({
      read: `Deno.readTextFile("/etc/passwd")`,
      write: `Deno.writeTextFile("mine", "x").then(() => Deno.readTextFile("mine"))`,
      net: `Deno.connect({ hostname: "127.0.0.1", port: ${port} })`,
      "another port": `Deno.connect({ hostname: "127.0.0.1", port: ${port + 1} })`,
      env: `(async () => Deno.env.get("GIVEN"))()`,
      sys: `(async () => Deno.hostname())()`,
    }) + "\nDeno.exit();";
    const Permissions = {
      Read: ["/etc/passwd", "."],
      Write: ["."],
      Net: [`127.0.0.1:${port}`],
      Env: ["GIVEN"],
      Sys: ["hostname"],
    };
    const { log } = await ran(world, { Source, Permissions, Env: ["GIVEN=x"] });
    listener.close();
    assert.equal(log, "read: done\nwrite: done\nnet: done\nanother port: refused\nenv: done\nsys: done\n");
  }));

Deno.test("Deno: neither the working folder nor a variable changes what a script may do", () =>
  inWorld(async (world) => {
    const Dir = `${world.stateDir}/dir`;
    await Deno.mkdir(Dir);
    const config = { permissions: { default: { all: true } }, imports: { x: "./x.ts" }, lock: true };
    await Deno.writeTextFile(`${Dir}/deno.json`, JSON.stringify(config));
    await Deno.writeTextFile(`${Dir}/deno.lock`, "{ damaged");
    await Deno.writeTextFile(`${Dir}/package.json`, "{ damaged");
    const Source = attempts({ read: `Deno.readTextFile("/etc/passwd")` });
    assert.equal((await ran(world, { Source, Dir })).log, "read: refused\n");
    assert.deepEqual([...Deno.readDirSync(Dir)].map(({ name }) => name).sort(), [
      "deno.json",
      "deno.lock",
      "package.json",
    ]);
    for (const name of ["DENO_DIR", "DENO_V8_FLAGS", "LD_PRELOAD", "OTEL_DENO", "SSLKEYLOGFILE"]) {
      await assert.rejects(
        ran(world, { Source, Env: ["A=b", `${name}=x`] }),
        new RegExp(`DenoSpec.Env\\[1\\]: ${name} is refused for deno tasks`),
      );
    }
  }));

Deno.test("Deno: more memory than the limit ends a script, and the reason says so", () =>
  inWorld(async (world) => {
    const Source = `const all = []; for (;;) all.push({ n: all.length, text: "x" + all.length });`;
    const limits = { MemoryBytes: 96 * 2 ** 20 };
    const { exit } = await ran(world, { Source }, limits);
    assert.equal(exit.Reason, "out of memory");
    assert.notEqual(exit.ExitCode, 0);
    // Only Deno's own words count.
    const said = await ran(world, { Source: `console.log("out of memory"); Deno.exit(133);` }, limits);
    assert.deepEqual(said.exit, { ExitCode: 133, Reason: "as by signal TRAP" });
    if (!canLimitMemory()) return;
    const outside = `const all = []; for (;;) all.push(new Uint8Array(2 ** 20).fill(1));`;
    assert.deepEqual((await ran(world, { Source: outside }, limits)).exit, {
      ExitCode: 137,
      Reason: "out of memory",
    });
  }));

Deno.test("Deno: every problem of a spec is reported at once", () =>
  inWorld(async (world) => {
    const executor = await world.executor();
    const Permissions = {
      Net: ["*.example.com"],
      Read: ["/a,/"],
      Run: ["sh"],
      Env: ["A*"],
      FFI: ["/x/../y"],
    };
    const task = denoTask({ Source: "1", Module: "/x.ts", Permissions, StopSignal: "SIGNO" });
    await assert.rejects(executor.controller(task), (error: unknown) => {
      assert.deepEqual((error as CoveyError).problems.map(({ field }) => field), [
        "DenoSpec",
        "DenoSpec.Permissions.Net[0]",
        "DenoSpec.Permissions.Read[0]",
        "DenoSpec.Permissions.Env[0]",
        "DenoSpec.Permissions.Run[0]",
        "DenoSpec.Permissions.FFI[0]",
        "DenoSpec.StopSignal",
      ]);
      return true;
    });
    await executor.close();
  }));

Deno.test("Deno: without a policy, programs, libraries and whole kinds are refused before anything is made", () =>
  inWorld(async (world) => {
    const refused: [DenoSpec["Permissions"] & object, string, RegExp][] = [
      [{ Run: ["/bin/true"] }, "Run", /: \/bin\/true$/],
      [{ FFI: ["/lib/libc.so.6"] }, "FFI", /: \/lib\/libc.so.6$/],
      [{ Net: true }, "Net", /: \*$/],
      [{ Read: true }, "Read", /: \*$/],
    ];
    const executor = await world.executor();
    for (const [Permissions, kind, message] of refused) {
      const task = denoTask({ Source: "1", Permissions });
      const controller = await executor.controller(task);
      await assert.rejects(controller.prepare(never), (error: unknown) => {
        assert.ok(error instanceof CoveyError && !error.retryable);
        assert.equal(error.problems[0]?.field, `DenoSpec.Permissions.${kind}`);
        assert.match(error.problems[0]!.message, message);
        return true;
      });
      assert.deepEqual(await world.traces(task), []);
    }
    await executor.close();
  }));

/** A copy of what the executor needs of the tree, in `folder`; the shim's path. */
async function copyExecutor(folder: string, change?: (text: string) => string): Promise<string> {
  await Deno.mkdir(`${folder}/process`, { recursive: true });
  await Deno.mkdir(`${folder}/deno`, { recursive: true });
  const own = fileURLToPath(new URL("../../../executors/deno", import.meta.url));
  for (const name of ["script_loader.js", "wasm_loader.js"]) {
    await Deno.copyFile(`${own}/${name}`, `${folder}/deno/${name}`);
  }
  return await copyShim(`${folder}/process`, change);
}

/** An executor whose device has a policy of these lines, and an allow-list if `allowed` is given. */
async function withPolicy(
  world: World,
  lines: string[],
  run: (attempt: (spec: DenoSpec) => Promise<void>) => Promise<void>,
  allowed?: string[],
) {
  const folder = `${world.stateDir}/device`;
  const shim = await copyExecutor(
    folder,
    (text) =>
      text.replace("POLICY=/etc/covey/deno", `POLICY=${folder}/policy`)
        .replace("ALLOW=/etc/covey/allow", `ALLOW=${folder}/allow`),
  );
  await Deno.writeTextFile(`${folder}/policy`, lines.join("\n"));
  if (allowed) await Deno.writeTextFile(`${folder}/allow`, allowed.join("\n"));
  const executor = await createDenoExecutor({ stateDir: world.stateDir, nodeID: NODE_ID }, { shim });
  try {
    await run(async (spec) => {
      const controller = await executor.controller(denoTask(spec));
      await controller.prepare(never);
      await controller.start(never).finally(() => controller.remove(never));
    });
  } finally {
    await executor.close();
  }
  await Deno.remove(folder, { recursive: true });
}

Deno.test("Deno: the device's policy says what may be granted, of links what they lead to", () =>
  inWorld(async (world) => {
    const file = `${world.stateDir}/app.ts`, link = `${world.stateDir}/link`;
    await Deno.writeTextFile(file, "");
    await Deno.symlink("/etc", link);
    const lines = [
      "# ours",
      "net 192.0.2.*",
      "read /usr/share/*",
      `read ${link}/*`,
      "env *",
      "run /bin/true",
    ];
    await withPolicy(
      world,
      [...lines, `module ${await Deno.realPath(world.stateDir)}/*`],
      async (attempt) => {
        const Source = "Deno.exit(0)";
        const truth = await Deno.realPath("/bin/true");
        const allowed: DenoSpec[] = [
          { Source },
          { Module: file },
          { Source, Permissions: { Net: ["192.0.2.7:80"], Read: ["/usr/share/x", "."], Write: ["."] } },
          { Source, Permissions: { Env: true } },
          ...(truth === "/bin/true" ? [{ Source, Permissions: { Run: ["/bin/true"] } }] : []),
        ];
        for (const spec of allowed) await attempt(spec);
        const forbidden: [DenoSpec, RegExp][] = [
          [{ Module: "/etc/passwd" }, /DenoSpec.Module: not let in by .*: \/etc\/passwd$/],
          [{ Source, Permissions: { Net: ["192.0.3.7"] } }, /Permissions.Net: not let in by .*: 192.0.3.7$/],
          [{ Source, Permissions: { Net: true } }, /Permissions.Net: not let in by .*: \*$/],
          [{ Source, Permissions: { Read: ["/usr"] } }, /Permissions.Read: not let in by .*: \/usr$/],
          [{ Source, Permissions: { Read: [`${link}/passwd`] } }, /not let in by .*: \/etc\/passwd$/],
          [{ Source, Permissions: { Write: ["/usr/share/x"] } }, /Permissions.Write: not let in/],
          [
            { Source, Dir: "/etc", Permissions: { Read: ["."] } },
            /Permissions.Read: not let in by .*: \/etc$/,
          ],
          [{ Source, Permissions: { Run: ["/usr/bin/env"] } }, /Permissions.Run: not let in/],
          [{ Source, Permissions: { Sys: ["hostname"] } }, /Permissions.Sys: not let in/],
        ];
        for (const [spec, expected] of forbidden) await assert.rejects(attempt(spec), expected);
      },
    );
  }));

Deno.test("Deno: where an allow-list says what may run, the policy has to name Deno", () =>
  inWorld(async (world) => {
    const deno = await Deno.realPath(Deno.execPath());
    const spec = { Source: "Deno.exit(0)" };
    await withPolicy(world, ["net *"], async (attempt) => {
      await assert.rejects(attempt(spec), /DenoSpec.Command: not allowed by/);
    }, ["/bin/sleep"]);
    await withPolicy(world, [`program ${deno}`], (attempt) => attempt(spec), ["/bin/sleep"]);
    await withPolicy(world, [], (attempt) => attempt(spec), [deno]);
  }));

Deno.test("Deno: a module on the device runs, and reads no other without the permission", () =>
  inWorld(async (world) => {
    const folder = `${world.stateDir}/app`, Module = `${folder}/main.ts`;
    await Deno.mkdir(folder);
    await Deno.writeTextFile(Module, `import { word } from "./word.ts";\nconsole.log(word as string);\n`);
    await Deno.writeTextFile(`${folder}/word.ts`, `export const word: string = "hello";\n`);
    const alone = await ran(world, { Module });
    assert.match(alone.log, /Requires read access to .*word.ts/);
    assert.notEqual(alone.exit.ExitCode, 0);
    const both = await ran(world, { Module, Permissions: { Read: [folder] } });
    assert.deepEqual(both, { exit: { ExitCode: 0 }, log: "hello\n" });
  }));

Deno.test({
  name: "Deno: a script of another user runs as that user",
  ignore: Deno.uid() !== 0, // only root can become another user
  fn: () =>
    inWorld(async (world) => {
      const { log } = await ran(world, {
        Source: "console.log(Deno.uid());",
        User: "65534:65534",
        Permissions: { Sys: ["uid"] },
      });
      assert.equal(log, "65534\n");
    }),
});

Deno.test({
  name: "Deno: a script needs no network to start, and Deno leaves nothing on the disk",
  ignore: Deno.uid() !== 0, // only root can make a network of its own
  fn: () =>
    inWorld(async (world) => {
      const folder = `${world.stateDir}/device`, shim = `${folder}/process/alone.sh`;
      const entry = await copyExecutor(folder);
      await Deno.writeTextFile(shim, `#!/bin/sh\nexec unshare -n ${entry} "$@"\n`, { mode: 0o755 });
      const executor = await createDenoExecutor({ stateDir: world.stateDir, nodeID: NODE_ID }, { shim });
      const Source = `const word: string = "alive"; console.log(word); ` +
        attempts({ net: `Deno.connect({ hostname: "127.0.0.1", port: 1 })` });
      const task = denoTask({ Source, Permissions: { Net: ["127.0.0.1"] } });
      const controller = await executor.controller(task);
      await controller.prepare(never);
      await controller.start(never);
      assert.deepEqual(await controller.wait(never), { ExitCode: 0 });
      const log = await programLog(world.stateDir, task.ID);
      assert.match(log, /^alive\nnet: Network is unreachable/);
      assert.deepEqual([...Deno.readDirSync(`${world.stateDir}/tasks/${task.ID}`)], []);
      await controller.remove(never);
      await executor.close();
    }),
});

Deno.test("Deno: without control groups a script starts, its heap is limited, and its log says what is not", () =>
  inWorld(async (world) => {
    const folder = `${world.stateDir}/device`;
    const shim = await copyExecutor(folder, (text) => text.replaceAll("/sys/fs/cgroup", "/no/cgroup"));
    const bare = {
      ...world,
      executor: () => createDenoExecutor({ stateDir: world.stateDir, nodeID: NODE_ID }, { shim }),
    };
    const limits = { MemoryBytes: 96 * 2 ** 20 };
    const small = await ranTask(bare, denoTask({ Source: `console.log("alive");` }, limits));
    assert.deepEqual(small.exit, { ExitCode: 0 });
    assert.match(small.log, /^covey: not limited, .*: MemoryBytes, but for the script's heap\nalive\n$/);
    const Source = `const all = []; for (;;) all.push({ n: all.length });`;
    assert.equal((await ranTask(bare, denoTask({ Source }, limits))).exit.Reason, "out of memory");
  }));
