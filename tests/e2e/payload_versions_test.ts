/** `covey config update` to programs that run: as processes, and as containers of a real engine. */
import assert from "node:assert/strict";
import type { Fleet } from "../../cli/demo/fleet.ts";
import { runningTasks, waitNode, waitRunning, withFleet } from "../support/e2e.ts";
import { eventually, run } from "../support/programs.ts";
import { NO_ENGINE, TEST_ENGINE } from "../support/test_engine.ts";

async function ok(program: Parameters<typeof run>[0], fleet: Fleet, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(program, fleet.socket, ...args);
  assert.equal(code, 0, `${program} ${args.join(" ")}: ${stderr}`);
  return stdout + stderr;
}

async function withFile(text: string, use: (path: string) => Promise<unknown>): Promise<void> {
  const path = await Deno.makeTempFile({ prefix: "covey-versions-" });
  await Deno.writeTextFile(path, text);
  await use(path);
  await Deno.remove(path);
}

/** Says what `file` holds now, and again with each SIGHUP; what it starts would die of one. */
const script = (file: string) => `trap 'cat ${file}' HUP; cat ${file}; while :; do sleep 0.2; done`;

Deno.test("Versions: a program on a device reads the new file at the signal, and at a restart where none is named", () =>
  withFleet({}, async (fleet) => {
    await fleet.startManager("manager", ["--no-agent"]);
    await fleet.startAgent("pi");
    await waitNode(fleet, "pi", "ready");
    for (const name of ["live", "still"]) {
      await withFile("one\n", (file) => ok("covey", fleet, "config", "create", name, file));
    }
    const base = ["--executor", "process", "--update-monitor", "1s"];
    const create = (name: string, reference: string, file: string) =>
      ok(
        "covey",
        fleet,
        "service",
        "create",
        "-d",
        "--name",
        name,
        ...base,
        "--config",
        reference,
        "/bin/sh",
        "-c",
        script(file),
      );
    await create("a", "source=live,signal=HUP", '"$COVEY_CONFIGS_DIR/live"');
    await create("b", "still", '"$COVEY_CONFIGS_DIR/still"');
    const taskOf = async (name: string) => {
      const { ID } = await fleet.client.get<{ ID: string }>(`/services/${name}`);
      await waitRunning(fleet, ID, 1);
      return (await runningTasks(fleet, ID))[0]!.ID;
    };
    const folder = fleet.socket.replace(/\/[^/]*$/, "");
    const says = (task: string, text: string) =>
      eventually(
        `${task} says ${text}`,
        async () => await Deno.readTextFile(`${folder}/pi/process/logs/${task}.log`).catch(() => "") === text,
      );
    const a = await taskOf("a"), b = await taskOf("b");
    await says(a, "one\n");
    await says(b, "one\n");
    await withFile("two\n", async (file) => {
      assert.match(await ok("covey", fleet, "config", "update", "live", file), /a is being updated/);
      await ok("covey", fleet, "config", "update", "still", file);
    });
    await says(a, "one\ntwo\n");
    assert.equal(await taskOf("a"), a);
    await eventually("b has another task", async () => await taskOf("b") !== b);
    await says(await taskOf("b"), "two\n");
    // To the stock client all of them are configs.
    assert.match(await ok("docker", fleet, "config", "ls"), /live [^]*live\.1 [^]*still [^]*still\.1 /);
    const refused = await run(
      "covey",
      fleet.socket,
      "service",
      "create",
      "-d",
      "--name",
      "c",
      "--config",
      "source=live,signal=KILL",
      "busybox",
    );
    assert.match(refused.stderr, /must be a signal that a program can take/);
  }));

Deno.test({
  name: "Versions: a container reads the new file at the signal, and stays the container that it is",
  ignore: NO_ENGINE !== "", // a reason is in the variable
  fn: () =>
    withFleet({ docker: TEST_ENGINE }, async (fleet) => {
      await fleet.startManager("manager");
      await waitNode(fleet, "manager", "ready");
      await withFile("one\n", (file) => ok("covey", fleet, "config", "create", "live", file));
      await withFile("key1\n", (file) => ok("covey", fleet, "secret", "create", "key", file));
      const both = "/etc/app/settings /run/secrets/key";
      const references = [
        "--config",
        "source=live,target=/etc/app/settings,signal=HUP",
        "--secret",
        "source=key,mode=0400,signal=HUP",
      ];
      await ok(
        "covey",
        fleet,
        "service",
        "create",
        "-d",
        "--name",
        "a",
        ...references,
        "busybox:local",
        "sh",
        "-c",
        script(both),
      );
      const { ID } = await fleet.client.get<{ ID: string }>("/services/a");
      await waitRunning(fleet, ID, 1);
      const container = (await runningTasks(fleet, ID))[0]!.Status.ContainerStatus!.ContainerID;
      const says = (text: string) =>
        eventually(`it says ${text}`, async () => {
          const logs = await new Deno.Command("docker", {
            args: ["-H", `unix://${TEST_ENGINE}`, "logs", container],
          }).output();
          return new TextDecoder().decode(logs.stdout) === text;
        });
      await says("one\nkey1\n");
      await withFile("two\n", (file) => ok("covey", fleet, "config", "update", "live", file));
      await says("one\nkey1\ntwo\nkey1\n");
      await withFile("key2\n", (file) => ok("covey", fleet, "secret", "update", "key", file));
      await says("one\nkey1\ntwo\nkey1\ntwo\nkey2\n");
      assert.equal((await runningTasks(fleet, ID))[0]!.Status.ContainerStatus!.ContainerID, container);
      for (
        const [flags, reason] of [
          [["--read-only"], /root is read-only/],
          [["--mount", "type=tmpfs,target=/etc/app"], /the mount at \/etc\/app would hide/],
        ] as const
      ) {
        const spec = await fleet.client.get<{ Spec: Record<string, unknown> }>("/services/a");
        const { TaskTemplate, ...rest } = spec.Spec as { TaskTemplate: { ContainerSpec: object } };
        const more = flags[0] === "--read-only"
          ? { ReadOnly: true }
          : { Mounts: [{ Type: "tmpfs", Target: "/etc/app" }] };
        const body = {
          ...rest,
          Name: "b",
          TaskTemplate: { ...TaskTemplate, ContainerSpec: { ...TaskTemplate.ContainerSpec, ...more } },
        };
        await assert.rejects(fleet.client.post("/services/create", body), reason);
      }
      await ok("covey", fleet, "service", "rm", "a");
      await eventually("its container is gone", async () => {
        const found = await new Deno.Command("docker", {
          args: ["-H", `unix://${TEST_ENGINE}`, "inspect", container],
        }).output();
        return found.code !== 0;
      });
    }),
});
