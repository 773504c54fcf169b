/** The device's list decides what containers have of it; the shim reads it, whatever the shell. */
import assert from "node:assert/strict";
import { createDockerExecutor } from "../../../executors/docker/docker_executor.ts";
import { EngineClient } from "../../../executors/docker/engine_client.ts";
import { grantedAccess } from "../../../executors/docker/host_access.ts";
import { containerTask, ENGINE_SOCKET, NO_ENGINE } from "../../conformance/docker_fixture.ts";
import { NODE_ID } from "../../conformance/tasks.ts";
import { copyShim } from "../process/hostile_agent.ts";
import { fakeEngine } from "./fake_engine.ts";

const never = new AbortController().signal;
const AS_ROOT = { ignore: Deno.uid() !== 0 }; // the list has to belong to root

/** A folder with a shim whose device has a list of these lines, or none. */
async function withList(
  lines: string[] | undefined,
  run: (shim: string, list: string, folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "covey-access-" }), list = `${folder}/containers`;
  const shim = await copyShim(
    folder,
    (text) => text.replace("CONTAINERS=/etc/covey/containers", `CONTAINERS=${list}`),
  );
  if (lines) await Deno.writeTextFile(list, lines.join("\n"), { mode: 0o644 });
  try {
    await run(shim, list, folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const asking = (devices: string, privileged = "false") =>
  containerTask({
    Command: ["true"],
    Labels: { ...(devices && { "covey.devices": devices }), "covey.privileged": privileged },
  });

const refused = (why: RegExp) => ({ code: "permission_denied", message: why });

Deno.test(
  "Host access: without a list a container gets nothing of its device, and the reason names what",
  () =>
    withList(undefined, async (shim, list) => {
      const none = `is not let in, as this device has no ${list} that says so$`;
      const attempt = (devices: string, privileged?: string) =>
        grantedAccess(asking(devices, privileged), shim);
      await assert.rejects(attempt("/dev/null"), refused(new RegExp(`: device /dev/null ${none}`)));
      await assert.rejects(attempt("", "true"), refused(new RegExp(`: privileged busybox:local ${none}`)));
      const claims = containerTask({});
      claims.AssignedGenericResources = [{ NamedResourceSpec: { Kind: "dev", Value: "/dev/zero" } }];
      await assert.rejects(grantedAccess(claims, shim), refused(/device \/dev\/zero is not let in/));
      // Who asks for nothing is not asked about.
      assert.deepEqual(await grantedAccess(containerTask({}), "/nonexistent"), {});
    }),
);

Deno.test({
  ...AS_ROOT,
  name: "Host access: the list says which devices and which images, of links what they lead to",
  fn: () =>
    withList(["# mine", "device /dev/nul*", "device /dev/pts", "privileged busybox:*"], async (shim) => {
      const attempt = (devices: string, privileged?: string) =>
        grantedAccess(asking(devices, privileged), shim);
      assert.deepEqual(await attempt("/dev/null:/dev/sink:w, /dev/pts", "true"), {
        Devices: [
          { PathOnHost: "/dev/null", PathInContainer: "/dev/sink", CgroupPermissions: "w" },
          { PathOnHost: "/dev/pts", PathInContainer: "/dev/pts", CgroupPermissions: "rwm" },
        ],
        Privileged: true,
      });
      await assert.rejects(
        attempt("/dev/null,/dev/zero"),
        refused(/device \/dev\/zero is not let in by \/.*containers$/),
      );
      await assert.rejects(attempt("/dev/nulnothing"), refused(/no such device: \/dev\/nulnothing/));
      const links = await Deno.makeTempDir({ dir: "/dev/shm", prefix: "covey-access-" });
      await Deno.symlink("/dev/zero", `${links}/null`);
      await assert.rejects(attempt(`${links}/null`), refused(/device \/dev\/zero is not let in by/));
      await Deno.remove(`${links}/null`);
      await Deno.symlink("/dev/null", `${links}/zero`);
      const { Devices } = await attempt(`${links}/zero`);
      assert.deepEqual(Devices![0], {
        PathOnHost: "/dev/null",
        PathInContainer: `${links}/zero`,
        CgroupPermissions: "rwm",
      });
      await Deno.remove(links, { recursive: true });
      const other = asking("", "true");
      other.Spec.ContainerSpec!.Image = "alpine:busybox";
      await assert.rejects(grantedAccess(other, shim), refused(/privileged alpine:busybox is not let in by/));
    }),
});

Deno.test({
  ...AS_ROOT,
  name: "Host access: a list that others than root can write lets nothing in",
  fn: () =>
    withList(["device /dev/null"], async (shim, list) => {
      const task = asking("/dev/null");
      await grantedAccess(task, shim);
      for (const mode of [0o664, 0o646, 0o666]) {
        await Deno.chmod(list, mode);
        await assert.rejects(grantedAccess(task, shim), refused(/as others than root may write/));
      }
      await Deno.chmod(list, 0o644);
      await Deno.chown(list, 1000, 0);
      await assert.rejects(grantedAccess(task, shim), refused(/does not belong to root/));
    }),
});

Deno.test({
  ...AS_ROOT,
  name: "Host access: a shim that a taken-over agent calls takes no words as commands, with each shell",
  fn: () =>
    withList(["device /dev/null"], async (_shim, _list, folder) => {
      for (const shell of [["dash"], ["bash"], ["busybox", "sh"]]) {
        const ask = async (...words: string[]) => {
          const args = [...shell.slice(1), `${folder}/shim_server.sh`, "container", ...words];
          const { stdout } = await new Deno.Command(shell[0]!, { args, stderr: "null" }).output();
          return new TextDecoder().decode(stdout);
        };
        assert.equal(await ask("device", "/dev/null"), "let in\n/dev/null\n");
        const odd = [
          "/dev/$(touch x)",
          "/dev/../etc/shadow",
          "-n",
          "/etc/shadow",
          "/dev/null\n/dev/mem",
          "*",
        ];
        for (const path of [...odd, "/dev/*", ""]) {
          assert.match(await ask("device", path), /^refused [^]*$/, `${shell}: ${path}`);
        }
        assert.match(await ask("privileged", "*"), /^refused privileged \* is not let in/);
        assert.match(await ask("everything", "x"), /^refused no kind of thing/);
      }
    }),
});

Deno.test("Host access: a task that its device refuses gets no container", () =>
  withList(undefined, async (shim, _list, folder) => {
    const engine = await fakeEngine(() => Response.json({ Id: "c".repeat(64) }));
    const options = { socket: engine.socket, shim };
    const executor = createDockerExecutor({ stateDir: folder, nodeID: NODE_ID }, options);
    const controller = await executor.controller(asking("/dev/null"));
    await assert.rejects(controller.prepare(never), refused(/device \/dev\/null is not let in/));
    assert.deepEqual(engine.calls, []);
    await executor.close();
    await engine.close();
  }));

Deno.test({
  ignore: NO_ENGINE !== "" || Deno.uid() !== 0, // the variable holds the reason; the list has to belong to root
  name: "Host access: what is let in is in the container, and nothing else",
  fn: () =>
    withList(["device /dev/full", "privileged busybox:local"], async (shim, _list, folder) => {
      const options = { socket: ENGINE_SOCKET, shim };
      const executor = createDockerExecutor({ stateDir: folder, nodeID: NODE_ID }, options);
      const engine = new EngineClient(ENGINE_SOCKET);
      const codeOf = async (labels: Record<string, string>, script: string) => {
        const task = containerTask({ Labels: labels, Command: ["sh", "-c", script] });
        const controller = await executor.controller(task);
        await controller.prepare(never);
        await controller.start(never);
        const { ExitCode } = await controller.wait(never);
        await controller.remove(never);
        return ExitCode;
      };
      const has = "test -c /dev/mine && head -c 1 /dev/mine >/dev/null";
      assert.equal(await codeOf({ "covey.devices": "/dev/full:/dev/mine:r" }, has), 0);
      assert.notEqual(await codeOf({}, has), 0);
      // Asked of the engine only: one that is in a container itself cannot run it.
      for (const privileged of ["true", "false"]) {
        const controller = await executor.controller(asking("", privileged));
        await controller.prepare(never);
        const { ContainerID } = (await controller.status())!;
        const path = `/containers/${ContainerID}/json`;
        const { HostConfig } = await engine.call<{ HostConfig: { Privileged: boolean } }>("GET", path);
        assert.equal(HostConfig.Privileged, privileged === "true");
        await controller.remove(never);
      }
      engine.close();
      await executor.close();
    }),
});
