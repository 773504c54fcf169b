/**
 * Secrets and configs from the command line to the program: a real manager and a real agent, which then starts again without
 * any manager; and a real engine with the stock client. The secret's bytes are looked for where they must not be.
 */
import assert from "node:assert/strict";
import type { ServiceView } from "../../cli/api_types.ts";
import type { Fleet } from "../../cli/demo/fleet.ts";
import { runningTasks, waitNode, waitRunning, withFleet } from "../support/e2e.ts";
import { memoryFolderOf, namesIn } from "../support/memory_folder.ts";
import { eventually, run } from "../support/programs.ts";
import { filesWith, processesWith } from "../support/search_bytes.ts";
import { NO_ENGINE, TEST_ENGINE } from "../support/test_engine.ts";

const word = () => `s3cret-${crypto.randomUUID()}`;

async function sha256(text: string): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))).toHex();
}

/** A file with `text`, for a command to read. */
async function fileWith(text: string): Promise<string> {
  const path = await Deno.makeTempFile({ prefix: "covey-payload-" });
  await Deno.writeTextFile(path, text);
  return path;
}

async function ok(program: Parameters<typeof run>[0], fleet: Fleet, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(program, fleet.socket, ...args);
  assert.equal(code, 0, `${program} ${args.join(" ")}: ${stderr}`);
  return stdout;
}

const folderOf = (fleet: Fleet) => fleet.socket.replace(/\/[^/]*$/, "");

/** A program that says what its secret's digest is, and its variable's, and goes on. */
const SCRIPT =
  'sha256sum <"$COVEY_SECRETS_DIR/key"; printf %s "$TOKEN" | sha256sum; cat "$COVEY_CONFIGS_DIR/settings"; ' +
  "exec sleep 100000";

async function serviceWith(fleet: Fleet, key: string, token: string): Promise<string> {
  for (const [name, text] of [["key", key], ["token", token]] as const) {
    const file = await fileWith(text);
    await ok("covey", fleet, "secret", "create", "-l", "site=attic", name, file);
    await Deno.remove(file);
  }
  const settings = await fileWith("a=b\n");
  await ok("covey", fleet, "config", "create", "settings", settings);
  await Deno.remove(settings);
  const flags = [
    "--name",
    "app",
    "--executor",
    "process",
    "--constraint",
    "node.hostname==pi",
    "--restart-delay",
    "200ms",
  ];
  const references = [
    "--secret",
    "source=key,mode=0400",
    "--secret",
    "source=token,env=TOKEN",
    "--config",
    "settings",
  ];
  await ok("covey", fleet, "service", "create", "-d", ...flags, ...references, "/bin/sh", "-c", SCRIPT);
  const { ID } = await fleet.client.get<ServiceView>("/services/app");
  return ID;
}

/** The program's output on the device. */
function outputOf(fleet: Fleet, taskID: string): Promise<string> {
  return Deno.readTextFile(`${folderOf(fleet)}/pi/process/logs/${taskID}.log`).catch(() => "");
}

/** The process ID in the record that the shim keeps of a task. */
async function programOf(fleet: Fleet, taskID: string): Promise<number | undefined> {
  const record = await Deno.readTextFile(`${folderOf(fleet)}/pi/process/runs/${taskID}`).catch(() => "");
  return record.split("\n").length > 2 ? Number(record.split("\n")[1]!.split(" ")[1]) : undefined;
}

Deno.test("Secrets: a program on a device has them, and has them again without any manager; nobody else does", () =>
  withFleet({}, async (fleet) => {
    await fleet.startManager("manager", ["--no-agent"]);
    await fleet.startAgent("pi");
    await waitNode(fleet, "pi", "ready");
    const key = word(), token = word();
    const service = await serviceWith(fleet, key, token);
    await waitRunning(fleet, service, 1);
    const [task] = await runningTasks(fleet, service);
    const wanted = `${await sha256(key)}  -\n${await sha256(token)}  -\na=b\n`;
    const says = (text: string) =>
      eventually("the program has its secrets", async () => await outputOf(fleet, task!.ID) === text);
    await says(wanted);
    const memory = await memoryFolderOf(`${folderOf(fleet)}/pi/process`);
    const hidden = async () => {
      for (const secret of [key, token]) {
        assert.deepEqual(await filesWith(`${folderOf(fleet)}/pi`, secret), []);
        assert.ok(
          (await filesWith(memory, secret)).every((path) => path.startsWith(`${memory}/${task!.ID}/`)),
        );
        for (const log of ["pi", "manager"]) assert.ok(!(await fleet.log(log)).includes(secret));
      }
      assert.deepEqual(await processesWith(key), []);
    };
    await hidden();
    // Only the program itself has its variable.
    assert.deepEqual(await processesWith(token), [task!.Status.ContainerStatus!.PID]);
    for (const path of ["/secrets", "/secrets/key", "/services/app", "/tasks"]) {
      const text = JSON.stringify(await fleet.client.get<unknown>(path).catch(() => ""));
      assert.ok(!text.includes(btoa(key).slice(0, -4)) && !text.includes(key), path);
    }
    await refusals(fleet);
    // The power goes, and with it all memory; the network does not come back.
    await fleet.end("manager", "SIGKILL");
    await fleet.end("pi", "SIGKILL");
    Deno.kill(task!.Status.ContainerStatus!.PID, "SIGKILL");
    await Deno.remove(memory, { recursive: true });
    await fleet.restart("pi");
    // It runs anew, in a folder of its own, and its output begins anew as well.
    await eventually("another program runs", async () => {
      const pid = await programOf(fleet, task!.ID);
      return pid !== undefined && pid !== task!.Status.ContainerStatus!.PID;
    });
    await says(wanted);
    await hidden();
    await fleet.restart("manager");
    await fleet.waitUntil(
      "the manager answers",
      async () => (await fleet.client.get("/swarm").catch(() => "")) !== "",
    );
    await waitRunning(fleet, service, 1);
    // Behind the last user nothing is left, on disk or in memory.
    await ok("covey", fleet, "service", "rm", "app");
    await eventually(
      "the task's files are gone",
      async () => (await namesIn(memory)).length === 0,
    );
    await ok("covey", fleet, "secret", "rm", "key", "token");
    await ok("covey", fleet, "config", "rm", "settings");
    await Deno.remove(memory, { recursive: true });
  }));

async function refusals(fleet: Fleet): Promise<void> {
  const refused = async (reason: RegExp, ...args: string[]) => {
    const { code, stderr } = await run("covey", fleet.socket, ...args);
    assert.notEqual(code, 0, args.join(" "));
    assert.match(stderr, reason);
  };
  await refused(/secret 'key' is in use by the following service: app/, "secret", "rm", "key");
  await refused(/secret nothing not found/, "service", "create", "-d", "--secret", "nothing", "busybox");
  await refused(/mode is octal/, "service", "create", "-d", "--secret", "source=key,mode=9", "busybox");
  await refused(/secret key already exists/, "secret", "create", "key", "/etc/hostname");
  await refused(/more than 1024000 bytes/, "secret", "create", "endless", "/dev/zero");
  await refused(
    /Cannot take secret no from the tasks/,
    "service",
    "update",
    "-d",
    "--secret-rm",
    "no",
    "app",
  );
}

Deno.test({
  name:
    "Secrets: the stock client's secrets and configs reach containers as files in memory, with owner and mode",
  ignore: NO_ENGINE !== "", // a reason is in the variable
  fn: () =>
    withFleet({ docker: TEST_ENGINE }, async (fleet) => {
      await fleet.startManager("manager");
      await waitNode(fleet, "manager", "ready");
      const key = word(), file = await fileWith(key);
      await ok("docker", fleet, "secret", "create", "--label", "a=b", "key", file);
      await ok("docker", fleet, "config", "create", "settings", file);
      await Deno.remove(file);
      assert.match(await ok("docker", fleet, "secret", "ls"), /^ID +NAME[^]*key/);
      assert.ok(!(await ok("docker", fleet, "secret", "inspect", "key")).includes(btoa(key)));
      assert.ok((await ok("docker", fleet, "config", "inspect", "--pretty", "settings")).includes(key));
      const secret = [
        "--secret",
        "source=key,target=own,uid=1000,gid=100,mode=0400",
        "--secret",
        "source=key,target=/etc/k",
      ];
      const config = [
        "--config",
        "source=settings,target=/etc/app/settings,mode=0444",
        "--config",
        "settings",
      ];
      await ok(
        "docker",
        fleet,
        "service",
        "create",
        "-d",
        "--name",
        "app",
        ...secret,
        ...config,
        "busybox:local",
        "sleep",
        "1000",
      );
      const { ID, Spec } = await fleet.client.get<ServiceView>("/services/app");
      await waitRunning(fleet, ID, 1);
      const [task] = await runningTasks(fleet, ID), container = task!.Status.ContainerStatus!.ContainerID;
      const engine = (...args: string[]) => run("docker", TEST_ENGINE, ...args);
      const files = ["/run/secrets/own", "/etc/k", "/etc/app/settings", "/settings"];
      const { stdout, stderr } = await engine("exec", container, "stat", "-c", "%u %g %a %n", ...files);
      const [first, ...others] = stdout.trim().split("\n");
      assert.equal(first, "1000 100 400 /run/secrets/own", stderr);
      assert.deepEqual(others, files.slice(1).map((path) => `0 0 444 ${path}`));
      for (const path of files) {
        assert.equal((await engine("exec", container, "cat", path)).stdout, key, path);
      }
      assert.match(
        (await engine("exec", container, "grep", " /run/secrets/own ", "/proc/mounts")).stdout,
        /^tmpfs .* ro,/,
      );
      assert.ok(!(await engine("inspect", container)).stdout.includes(key));
      const data = TEST_ENGINE.replace(/\/[^/]*$/, "/data/containers");
      assert.deepEqual(await filesWith(data, key).catch(() => []), []);
      assert.deepEqual(await filesWith(`${folderOf(fleet)}/manager/agent`, key), []);
      await ok(
        "docker",
        fleet,
        "service",
        "update",
        "-d",
        "--secret-rm",
        "key",
        "--config-rm",
        "settings",
        "app",
      );
      await eventually(
        "the last user is gone",
        async () => (await run("docker", fleet.socket, "secret", "rm", "key")).code === 0,
      );
      assert.equal(Spec.TaskTemplate.ContainerSpec!.Secrets!.length, 2);
    }),
});
