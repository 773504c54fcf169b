/** Secrets and configs of programs, in a real memory file system. */
import assert from "node:assert/strict";
import type { Dependency, References } from "../../../api/dependency.ts";
import { CoveyError } from "../../../api/errors.ts";
import type { ProcessSpec } from "../../../api/service.ts";
import type { Dependencies } from "../../../executors/executor.ts";
import { defaultShim } from "../../../executors/default_shim.ts";
import { createProcessExecutor } from "../../../executors/process/process_executor.ts";
import { processTask } from "../../conformance/process_fixture.ts";
import { NODE_ID } from "../../conformance/tasks.ts";
import { copyShim } from "./hostile_agent.ts";
import { eventually } from "../../support/programs.ts";
import { memoryFolderOf, namesIn } from "../../support/memory_folder.ts";
import { filesWith, processesWith } from "../../support/search_bytes.ts";
import { programLog } from "../../support/program_log.ts";

const never = new AbortController().signal;
const UID = Deno.uid() ?? 0;
const IS_ROOT = UID === 0;
/** The tests' own marks: of no other text on the machine. */
const WORD = `s3cret-${crypto.randomUUID()}`;

const file = (Name: string, more: object = {}) => ({ Name, UID: "0", GID: "0", Mode: 0o444, ...more });
const secret = (name: string, more: { File?: object; Env?: string } = {}) => ({
  SecretID: `id-${name}`,
  SecretName: name,
  ...more,
  File: file(name, more.File),
});
const config = (name: string) => ({ ConfigID: `id-${name}`, ConfigName: name, File: file(name) });

/** What the node has, by `KIND/ID`. */
function dependenciesWith(held: Record<string, string>): Dependencies {
  return {
    read: (kind: Dependency["Kind"], id) => {
      const text = held[`${kind}/${id}`];
      if (text !== undefined) return Promise.resolve(new TextEncoder().encode(text));
      return Promise.reject(new CoveyError("not_found", `Cannot read ${kind} ${id}: it is not there`));
    },
  };
}

interface Place {
  stateDir: string;
  memoryDir: string;
}

async function inPlace(test: (place: Place) => Promise<void>): Promise<void> {
  const stateDir = await Deno.makeTempDir({ prefix: "covey-secrets-" });
  const memoryDir = await memoryFolderOf(stateDir);
  try {
    await test({ stateDir, memoryDir });
  } finally {
    await Deno.remove(stateDir, { recursive: true });
    await Deno.remove(memoryDir, { recursive: true }).catch(() => {});
  }
}

/** Runs a script with references to its end, or fails as the executor does. */
async function ran(
  place: Place,
  script: string,
  spec: References & Partial<ProcessSpec>,
  held: Record<string, string>,
) {
  const executor = await createProcessExecutor({ stateDir: place.stateDir, nodeID: NODE_ID });
  const task = processTask({ Command: "/bin/sh", Args: ["-c", script], ...spec });
  const controller = await executor.controller(task, dependenciesWith(held));
  try {
    await controller.prepare(never);
    await controller.start(never);
    const { ExitCode } = await controller.wait(never);
    assert.deepEqual(await namesIn(place.memoryDir), [], "nobody reads them any more");
    const log = await programLog(place.stateDir, task.ID);
    return { ExitCode, log };
  } finally {
    await controller.remove(never);
    await controller.close();
    await executor.close();
    assert.deepEqual(await namesIn(place.memoryDir), [], "nothing is left in memory");
  }
}

Deno.test("Process: a program finds its secrets and configs as files in memory, and nowhere else", () =>
  inPlace(async (place) => {
    const held = { "secret/id-key": WORD, "config/id-settings": "a=b\n" };
    const script =
      'cat "$COVEY_SECRETS_DIR/key"; cat "$COVEY_CONFIGS_DIR/settings"; stat -f -c %T "$COVEY_SECRETS_DIR"; ' +
      'stat -c "%a %n" "$COVEY_SECRETS_DIR"/* | sed "s|/.*/||"';
    // More than permissions, as of a client that takes octal digits for decimal ones.
    const spec = { Secrets: [secret("key", { File: { Mode: 0o17400 } })], Configs: [config("settings")] };
    const { ExitCode, log } = await ran(place, script, spec, held);
    assert.deepEqual([ExitCode, log], [0, `${WORD}a=b\ntmpfs\n400 key\n`]);
  }));

Deno.test("Process: a secret in a variable is the program's alone, whatever it holds", () =>
  inPlace(async (place) => {
    const value = `${WORD} 'two'\n$(lines) \\ *\n\n`;
    const spec = { Secrets: [secret("key", { Env: "KEY" })], Env: ["A=b"] };
    const held = { "secret/id-key": value };
    const { log } = await ran(place, 'printf %s "$KEY"; echo "[$A]"; env | grep -ci covey_value', spec, held);
    assert.equal(log, `${value}[b]\n0\n`);
    for (const [bytes, why] of [["a\0b", /zero byte/]] as const) {
      await assert.rejects(ran(place, ":", spec, { "secret/id-key": bytes }), why);
    }
  }));

Deno.test("Process: while a program runs, its secrets are in no file of the agent, in no command line and no other's environment", () =>
  inPlace(async (place) => {
    const executor = await createProcessExecutor({ stateDir: place.stateDir, nodeID: NODE_ID });
    const spec = { Secrets: [secret("key"), secret("token", { Env: "TOKEN" })] };
    const task = processTask({ Command: "/bin/sleep", Args: ["1000"], ...spec });
    const held = { "secret/id-key": WORD, "secret/id-token": `${WORD}-token` };
    const controller = await executor.controller(task, dependenciesWith(held));
    await controller.prepare(never);
    await controller.start(never);
    const { PID } = (await controller.status())!;
    assert.deepEqual(await filesWith(place.stateDir, WORD), []);
    const shown = await processesWith(WORD);
    // Until the program has replaced the shell that reads the files, it has the variable not even itself.
    assert.ok(shown.every((pid) => pid === PID), `${shown} is not ${PID}`);
    assert.equal((await filesWith(place.memoryDir, WORD)).length, 3);
    await controller.remove(never);
    assert.deepEqual(await namesIn(place.memoryDir), []);
    await controller.close();
    await executor.close();
  }));

Deno.test({
  name: "Process: a program of another user gets at its own secrets, and at nobody else's",
  ignore: !IS_ROOT, // only root can become another user
  fn: () =>
    inPlace(async (place) => {
      const held = { "secret/id-key": WORD, "secret/id-root": `${WORD}-root` };
      const mine = secret("key", { File: { UID: "65534", GID: "65534", Mode: 0o400 }, Env: "KEY" });
      const spec = { User: "65534:65534", Secrets: [mine, secret("root", { File: { Mode: 0o400 } })] };
      const script = 'cat "$COVEY_SECRETS_DIR/key"; printf %s "$KEY"; cat "$COVEY_SECRETS_DIR/root"; ' +
        'ls "$COVEY_SECRETS_DIR/../.."; true';
      const { log } = await ran(place, script, spec, held);
      assert.ok(log.startsWith(WORD + WORD), log);
      assert.ok(!log.includes("-root"), log);
      assert.equal(log.match(/Permission denied/g)?.length, 2, log);
    }),
});

Deno.test("Process: without a memory file system a task with secrets is refused, and nothing is written", async () => {
  const folder = await Deno.makeTempDir({ prefix: "covey-secrets-" }), stateDir = `${folder}/state`;
  const shim = await copyShim(folder, (text) => text.replace("in /dev/shm /run;", "in /nowhere;"));
  const executor = await createProcessExecutor({ stateDir, nodeID: NODE_ID }, { shim });
  const task = processTask({ Command: "/bin/true", Secrets: [secret("key")] });
  const controller = await executor.controller(task, dependenciesWith({ "secret/id-key": WORD }));
  await assert.rejects(controller.prepare(never), /no memory file system .* never written to a disk/);
  assert.deepEqual(await filesWith(stateDir, WORD), []);
  await executor.close();
  await Deno.remove(folder, { recursive: true });
});

Deno.test("Process: a task whose secret is missing is not prepared, and gets none of the others", () =>
  inPlace(async (place) => {
    const spec = { Secrets: [secret("key"), secret("gone")] };
    await assert.rejects(ran(place, ":", spec, { "secret/id-key": WORD }), { code: "not_found" });
    const executor = await createProcessExecutor({ stateDir: place.stateDir, nodeID: NODE_ID });
    const controller = await executor.controller(processTask({ Command: "/bin/true", ...spec }));
    await assert.rejects(controller.prepare(never), { code: "permission_denied" });
    await executor.close();
  }));

Deno.test("Process: memory that a reboot has emptied is filled again before the program starts", () =>
  inPlace(async (place) => {
    const held = dependenciesWith({ "secret/id-key": WORD });
    const task = processTask({
      Command: "/bin/sh",
      Args: ["-c", 'cat "$COVEY_SECRETS_DIR/key"'],
      Secrets: [secret("key")],
    });
    const first = await createProcessExecutor({ stateDir: place.stateDir, nodeID: NODE_ID });
    const prepared = await first.controller(task, held);
    await prepared.prepare(never);
    const handle = prepared.handle()!;
    await first.close();
    await Deno.remove(place.memoryDir, { recursive: true });
    const next = await createProcessExecutor({ stateDir: place.stateDir, nodeID: NODE_ID });
    const controller = await next.recover(task, handle, held);
    await controller.start(never);
    assert.equal((await controller.wait(never)).ExitCode, 0);
    assert.equal(await programLog(place.stateDir, task.ID), WORD);
    assert.deepEqual(await next.sweep(() => false, never), [task.ID]);
    assert.deepEqual(await namesIn(place.memoryDir), []);
    await next.close();
  }));

/** What the shim answers to words that no agent of ours would say. */
async function answerOf(stateDir: string, words: string[]): Promise<string> {
  const child = new Deno.Command(defaultShim(), {
    args: [words[0]!, stateDir, ...words.slice(1)],
    clearEnv: true,
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  });
  return new TextDecoder().decode((await child.output()).stdout);
}

Deno.test("Shim: what an agent keeps in memory stays in the folder of a task, and is no program of another user's", () =>
  inPlace(async ({ stateDir, memoryDir }) => {
    const right = ["keep", "t", "secrets", "key", "0400", String(UID), "0"];
    const wrong: [number, string[]][] = [
      [1, ["", ".", "..", "../t", "a/b", "-x"]],
      [2, ["", "..", "other", "secrets/.."]],
      [3, ["", ".", "..", "../../x", "a/b"]],
      [4, ["4755", "04755", "0999", "a", "u+s"]],
      [5, ["root", "-1", "4294967296", "x[$(reboot)]"]],
      [6, ["root", "4294967295"]],
    ];
    for (const [at, values] of wrong) {
      for (const value of values) {
        assert.match(await answerOf(stateDir, right.with(at, value)), /^refused /, value);
      }
    }
    assert.deepEqual(await namesIn(memoryDir), []);
    assert.equal(await answerOf(stateDir, right), `kept ${memoryDir}/t/secrets/key\n`);
    // Whose program had the folder may have put a link into it.
    await Deno.remove(`${memoryDir}/t`, { recursive: true });
    await Deno.symlink("/tmp", `${memoryDir}/t`);
    assert.match(await answerOf(stateDir, right), /^refused not a folder of the agent's own/);
    await answerOf(stateDir, ["forget", "../.."]);
    await answerOf(stateDir, ["forget", "t"]);
    assert.deepEqual([await namesIn(memoryDir), (await Deno.stat("/tmp")).isDirectory], [[], true]);
  }));

Deno.test("Process: a new version takes its file's place at once, and the first process alone gets the signal", () =>
  inPlace(async ({ stateDir, memoryDir }) => {
    const executor = await createProcessExecutor({ stateDir, nodeID: NODE_ID });
    const spec = (id: string) => ({
      ...(IS_ROOT && { User: "65534:65534" }),
      Configs: [{ ConfigID: id, ConfigName: "c", File: file("c"), Signal: "USR1" }, config("other")],
    });
    // Whoever reads without end sees one version or the other, and the reader would die of a signal.
    const loop = 'while :; do cat "$COVEY_CONFIGS_DIR/c"; done >"$0.all"';
    const script = `trap 'cat "$COVEY_CONFIGS_DIR/c" | tail -c 4' USR1; (${loop}) & reader=$!; ` +
      "while :; do sleep 0.05; kill -0 $reader || exit 9; done";
    const all = await Deno.makeTempDir({ prefix: "covey-reload-" });
    await Deno.chmod(all, 0o777);
    const make = (id: string) =>
      processTask({ Command: "/bin/sh", Args: ["-c", script, `${all}/r`], ...spec(id) });
    const versions = ["aaa\n", "bbb\n"].map((line) => line.repeat(50_000)) as [string, string];
    const held = dependenciesWith({
      "config/1": versions[0],
      "config/2": versions[1],
      "config/id-other": "o",
    });
    const task = make("1"), next = { ...make("2"), ID: task.ID };
    const controller = await executor.controller(task, held);
    await controller.prepare(never);
    await controller.start(never);
    try {
      for (let turn = 0; turn < 5; turn++) {
        await executor.reload(turn % 2 ? task : next, held, ["USR1"], controller.handle()!);
      }
      const log = async () => await Deno.readTextFile(`${stateDir}/logs/${task.ID}.log`).catch(() => "");
      await eventually("it was told", async () => (await log()).endsWith("bbb\n"));
      assert.ok((await controller.status())!.PID > 0);
      assert.deepEqual((await namesIn(`${memoryDir}/${task.ID}/configs`)).sort(), ["c", "other"]);
      await controller.terminate(never);
      const text = await Deno.readTextFile(`${all}/r.all`), { length } = versions[0];
      for (let at = 0; at + length <= text.length; at += length) {
        assert.ok(versions.includes(text.slice(at, at + length)), `neither version at ${at}`);
      }
    } finally {
      await controller.remove(never);
      await controller.close();
      await executor.close();
      await Deno.remove(all, { recursive: true });
    }
  }));

Deno.test({
  name:
    "Shim: in a folder that was given to a program's user, nothing is written through what that put there",
  ignore: !IS_ROOT, // only root gives folders away
  fn: () =>
    inPlace(async ({ stateDir, memoryDir }) => {
      const right = ["keep", "t", "configs", "c", "0444", "0", "0"];
      const elsewhere = await Deno.makeTempDir({ prefix: "covey-elsewhere-" });
      assert.match(await answerOf(stateDir, right), /^kept /);
      await Deno.chown(`${memoryDir}/t`, 65534, 65534);
      assert.match(await answerOf(stateDir, right), /^kept /);
      await Deno.rename(`${memoryDir}/t/configs`, `${memoryDir}/t/mine`);
      assert.match(await answerOf(stateDir, right), /^refused not a folder of the agent's own/);
      await Deno.symlink(elsewhere, `${memoryDir}/t/configs`);
      assert.match(await answerOf(stateDir, right), /^refused not a folder of the agent's own/);
      await Deno.remove(`${memoryDir}/t/configs`);
      await Deno.symlink(`${memoryDir}/t/mine`, `${memoryDir}/t/configs`);
      assert.match(await answerOf(stateDir, right), /^refused not a folder of the agent's own/);
      assert.deepEqual(await namesIn(elsewhere), []);
      await Deno.remove(elsewhere);
    }),
});
