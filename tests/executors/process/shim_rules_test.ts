/** What the shim lets nobody do, neither a task nor an agent that somebody took over. */
import assert from "node:assert/strict";
import type { ProcessSpec } from "../../../api/service.ts";
import { createProcessExecutor } from "../../../executors/process/process_executor.ts";
import { processTask } from "../../conformance/process_fixture.ts";
import { NODE_ID } from "../../conformance/tasks.ts";
import {
  ask,
  copyShim,
  NEWLINE,
  type RawRun,
  recordLine,
  runLines,
  shimWithBash,
  stateFolder,
} from "./hostile_agent.ts";
import { programLog } from "../../support/program_log.ts";

const never = new AbortController().signal;
const isRoot = Deno.uid() === 0;
/** Shells that devices have for /bin/sh, and that this one has. */
const SHELLS = ["/bin/dash", "/bin/bash", "/bin/busybox", "/usr/bin/busybox"].filter(exists);

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/** What each shell's server answers to a request, on a state folder that `prepare` may change. */
async function answers(
  request: RawRun | string,
  prepare: (stateDir: string) => Promise<void> = () => Promise.resolve(),
): Promise<string[]> {
  const all: string[] = [];
  for (const shell of SHELLS) {
    const stateDir = await stateFolder();
    await prepare(stateDir);
    all.push(
      await ask(
        stateDir,
        typeof request === "string" ? request : runLines(request),
        ...shellOf(shell, stateDir),
      ),
    );
    await Deno.remove(stateDir, { recursive: true });
  }
  return all;
}

/** Busybox is a shell under that name only. */
function shellOf(path: string, stateDir: string): [string] {
  if (!path.endsWith("busybox")) return [path];
  Deno.symlinkSync(path, `${stateDir}/sh`);
  return [`${stateDir}/sh`];
}

/** Runs a program to its end; its exit code and log. */
async function ran(spec: ProcessSpec, shim?: string): Promise<[number, string]> {
  const stateDir = await Deno.makeTempDir({ prefix: "covey-rules-" });
  const executor = await createProcessExecutor({ stateDir, nodeID: NODE_ID }, shim ? { shim } : {});
  try {
    const task = processTask(spec), controller = await executor.controller(task);
    await controller.start(never);
    const { ExitCode } = await controller.wait(never);
    return [ExitCode, await programLog(stateDir, task.ID)];
  } finally {
    await executor.close();
    await Deno.remove(stateDir, { recursive: true });
  }
}

Deno.test("Shim rules: a user's or group's number that wraps is refused, by the executor and by the shim", async () => {
  const numbers = ["4294967295", "4294967296", "2147483648", "18446744073709551616", "007"];
  for (const number of [...numbers, "+0", "-1"]) {
    for (const User of [`${number}:1`, `1:${number}`, number]) {
      await assert.rejects(
        ran({ Command: "id", User }),
        /ProcessSpec.User: a number must be 0 to 2147483647/,
      );
      for (const answer of await answers({ id: "t", command: "id", user: User })) {
        assert.match(answer, /^1 refused ProcessSpec.User no /, User);
      }
    }
  }
});

Deno.test("Shim rules: what reaches an expression is a number, whatever shell evaluates it", async () => {
  const flag = await Deno.makeTempFile();
  await Deno.remove(flag);
  for (const answer of await answers({ id: "t", command: "true", memory: `x[$(>${flag})]` })) {
    assert.match(answer, /^1 refused Resources.Limits no number: x/);
  }
  assert.ok(!exists(flag), "nothing was run");
});

Deno.test({
  name: "Shim rules: a task's variables reach its own program only, not what drops its privileges",
  ignore: !isRoot, // only root can become another user
  fn: async () => {
    for (const variable of ["LD_PRELOAD", "LD_AUDIT"]) {
      const [code, log] = await ran({
        Command: "true",
        User: "nobody",
        Env: [`${variable}=/nonexistent.so`],
      });
      assert.equal(code, 0);
      assert.equal(log.match(/^ERROR: ld\.so: .*\/nonexistent\.so/gm)?.length ?? 0, 1, log);
    }
  },
});

Deno.test("Shim rules: a program inherits no descriptor and no ignored signal", async () => {
  const script = "cd /proc/self/fd; echo *; grep SigIgn /proc/self/status";
  // What the tests' own parent hands down is none of the shim's.
  const { stdout } = await new Deno.Command("sh", { args: ["-c", script], stdin: "null" }).output();
  for (const User of isRoot ? ["", "nobody"] : [""]) {
    const [, log] = await ran({ Command: "sh", Args: ["-c", script], ...User ? { User } : {} });
    assert.equal(log, new TextDecoder().decode(stdout), User);
  }
});

Deno.test("Shim rules: a record that somebody forged signals nobody's process", async () => {
  const bystander = new Deno.Command("sleep", { args: ["1000"], detached: true }).spawn();
  const line = await recordLine(bystander.pid);
  for (const name of ["1-1.1", "", "../../tmp", "$(id)"]) {
    const forge = (stateDir: string) =>
      Deno.writeTextFile(`${stateDir}/runs/t`, `${line} ${name}\n${line}\n`);
    for (const verb of ["signal 1 t TERM\n", "signal 1 t KILL\n"]) {
      for (const answer of await answers(verb, forge)) assert.equal(answer, "1 done\n");
    }
  }
  const state = (await Deno.readTextFile(`/proc/${bystander.pid}/stat`)).split(") ")[1]![0];
  assert.equal(state, "S");
  bystander.kill("SIGKILL");
  await bystander.status;
});

Deno.test("Shim rules: a record's control group leads to no folder elsewhere", async () => {
  const victim = await Deno.makeTempDir({ prefix: "covey-victim-" });
  const boot = (await Deno.readTextFile("/proc/sys/kernel/random/boot_id")).trim();
  for (const verb of ["signal 1 t KILL\n", "check 1 t\n"]) {
    for (const up of ["../../../../..", "../../../.."]) {
      const record = `${boot} 999999999 1 ${up}${victim}\n${boot} 999999999 1\n`;
      await answers(verb, (stateDir) => Deno.writeTextFile(`${stateDir}/runs/t`, record));
    }
  }
  assert.deepEqual([...Deno.readDirSync(victim)], []);
  await Deno.remove(victim);
});

Deno.test("Shim rules: a task's ID is no path, and its files are no symbolic links", async () => {
  for (const answer of await answers({ id: "../t", command: "true" })) {
    assert.match(answer, /refused request no ID/);
  }
  const link = (stateDir: string) => Deno.symlink("/dev/null", `${stateDir}/logs/t.log`);
  for (const answer of await answers({ id: "t", command: "true" }, link)) {
    assert.match(answer, /refused state .*t\.log is a symbolic link/);
  }
});

/** `NAME='value' …`, with the quotes that the inside of the quotes of a shell's command needs. */
function quoted(env: Record<string, string>): string {
  return Object.entries(env).map(([name, value]) => `'\\''${name}=${value}'\\''`).join(" ");
}

/** A copy of the shim whose allow-list is `patterns`. */
async function withList(
  patterns: string,
  run: (shim: string, server: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "covey-rules-" });
  await Deno.writeTextFile(`${folder}/allow`, patterns);
  await copyShim(folder, (text) => text.replace("ALLOW=/etc/covey/allow", `ALLOW=${folder}/allow`));
  await run(`${folder}/shim.sh`, `${folder}/shim_server.sh`);
  await Deno.remove(folder, { recursive: true });
}

Deno.test("Shim rules: with an allow-list no variable makes an allowed program run other code", () =>
  withList(`${Deno.realPathSync("/usr/bin/true")}\n`, async (shim) => {
    assert.deepEqual(await ran({ Command: "true", Env: ["LANG=C", "GREETING=x"] }, shim), [0, ""]);
    for (
      const name of [
        "BASH_ENV",
        "ENV",
        "BASH_FUNC_x",
        "LD_LIBRARY_PATH",
        "PATH",
        "PYTHONPATH",
        "NODE_OPTIONS",
      ]
    ) {
      const Env = ["A=b", `${name}=${name === "PATH" ? "/usr/bin" : "/x"}`];
      await assert.rejects(ran({ Command: "true", Env }, shim), new RegExp(`Env\\[1\\]: ${name} is refused`));
    }
  }));

Deno.test("Shim rules: with an allow-list nothing in a variable's place becomes the program", () =>
  withList(`${Deno.realPathSync("/usr/bin/true")}\n`, async (_shim, server) => {
    for (const variable of ["/usr/bin/id", "-S/usr/bin/id", "--chdir=/", "BASH_FUNC_x%%=() { id; }"]) {
      for (const shell of SHELLS) {
        const stateDir = await stateFolder();
        const request = runLines({ id: "t", command: "true", variables: [variable] });
        const answer = await ask(stateDir, request, ...shellOf(shell, stateDir), server);
        assert.match(answer, /^1 refused ProcessSpec.Env\[0\] must be NAME=value/);
        await Deno.remove(stateDir, { recursive: true });
      }
    }
  }));

Deno.test("Shim rules: grants become no other flags than their own, and lead to no other file", async () => {
  const refused: [string, RegExp][] = [
    ["Net a --allow-all", /^Permissions.Net no HOST/],
    ["Net a,b", /^Permissions.Net no HOST/],
    ["Net *.example.com", /^Permissions.Net no HOST/],
    ["Net unix:/run/x", /^Permissions.Net no HOST/],
    ["Net ", /^Permissions.Net no HOST/],
    ["Net *", /^Permissions.Net not let in/],
    ["Read /a,/", /^Permissions.Read has a comma/],
    ["Read /usr/../etc", /^Permissions.Read has a comma, /],
    ["Read /usr/.", /^Permissions.Read has a comma, /],
    ["Read etc", /^Permissions.Read no absolute path/],
    ["Run .", /^Permissions.Run no absolute path/],
    ["Run /bin/true", /^Permissions.Run not let in/],
    ["FFI /lib/x.so", /^Permissions.FFI not let in/],
    ["Env A*", /^Permissions.Env no name/],
    ["Sys --all", /^Permissions.Sys no name/],
    ["Module *", /^Module no such file/],
    ["Module etc/passwd", /^Module no such file/],
    ["Module /etc/../etc/passwd", /^Module has a comma, /],
  ];
  const judged = (grants: string) => {
    const request = runLines({ id: "t", command: "/bin/true", grants: `Heap 0${NEWLINE}${grants}` });
    return answers(request.replace("run 1", "judge 1"));
  };
  for (const [grants, expected] of refused) {
    for (const answer of await judged(grants)) {
      const [, said, end] = /^1 refused DenoSpec\.(.*)\n(.*\n)$/.exec(answer) ?? [];
      assert.match(said ?? answer, expected, grants);
      assert.equal(end, "1 ended\n");
    }
  }
  for (const grants of ["Heap 1,--x", "Heap -1", "Heap x"]) {
    for (const answer of await judged(grants)) assert.match(answer, /^1 refused Resources.Limits no number/);
  }
  for (const answer of await judged("Flag --allow-all")) {
    assert.match(answer, /^1 refused request no permission/);
  }
  for (const grants of ["Net a:1", "Net [::1]", "Read /", "Read .", "Env A", "Module /etc/passwd"]) {
    for (const answer of await judged(grants)) assert.equal(answer, "1 fit\n1 ended\n", grants);
  }
});

Deno.test("Shim rules: with an allow-list a request with grants runs no other program", () =>
  withList(`${Deno.realPathSync("/usr/bin/true")}\n`, async (_shim, server) => {
    for (const shell of SHELLS) {
      const stateDir = await stateFolder();
      const request = runLines({ id: "t", command: "/usr/bin/id", grants: "Heap 0" }).replace(
        "run 1",
        "judge 1",
      );
      const answer = await ask(stateDir, request, ...shellOf(shell, stateDir), server);
      assert.match(answer, /^1 refused DenoSpec.Command not allowed by/);
      await Deno.remove(stateDir, { recursive: true });
    }
  }));

Deno.test({
  name: "Shim rules: where /bin/sh is bash, neither functions nor start files from the agent are taken over",
  ignore: !isRoot || !exists("/bin/bash"), // needs a mount namespace
  fn: async () => {
    const folder = await Deno.makeTempDir({ prefix: "covey-bash-" });
    // Others must be able to read it, and the flag's folder is theirs to write.
    await Deno.chmod(folder, 0o777);
    await copyShim(folder);
    const flag = `${folder}/flag`, script = `${folder}/script`, hijack = `() { >${flag}; }`;
    await Deno.writeTextFile(script, `>${flag}\n`);
    const env = {
      BASH_ENV: script,
      ENV: script,
      "BASH_FUNC_read%%": hijack,
      "BASH_FUNC_exec%%": hijack,
      SHELLOPTS: "xtrace",
      PS4: `$(>${flag})`,
    };
    for (const [entry, uid] of [["shim.sh", 0], ["shim_clean.sh", 0], ["shim_clean.sh", 65534]] as const) {
      const shim = await shimWithBash(folder, `env ${quoted(env)} ${folder}/${entry}`, uid);
      const { stdout } = await new Deno.Command(shim, { args: ["describe"] }).output();
      assert.match(new TextDecoder().decode(stdout), /^\d+ (own|agent) \S+\n$/);
      assert.ok(!exists(flag), `nothing of the agent's was run: ${entry} ${uid}`);
    }
    const shim = await shimWithBash(folder, `${folder}/shim.sh`);
    const args = ["a\nb\n", "", "\u0101\u20ac", "*", " x "];
    const [code, log] = await ran({ Command: "printf", Args: ["<%s>", ...args], Env: ["UID=x"] }, shim);
    assert.deepEqual([code, log], [0, args.map((arg) => `<${arg}>`).join("")]);
    await Deno.remove(folder, { recursive: true });
  },
});
