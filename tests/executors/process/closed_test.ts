/** What a program is kept from of its device, and the devices that it is let to. */
import assert from "node:assert/strict";
import { createProcessExecutor } from "../../../executors/process/process_executor.ts";
import type { ProcessSpec } from "../../../api/service.ts";
import { deviceProblems } from "../../../api/validate/device_problems.ts";
import { processTask } from "../../conformance/process_fixture.ts";
import { NODE_ID } from "../../conformance/tasks.ts";
import { ask, copyShim, runLines, shell, stateFolder } from "./hostile_agent.ts";

const never = new AbortController().signal;
const isRoot = Deno.uid() === 0;
/** Not under /tmp, which is private in here. */
const PLACE = "/var/lib";

/** Runs a program to its end on a folder of its own, with a shim of which `change` was made; its exit code and output. */
async function ran(
  spec: ProcessSpec,
  change: (text: string, folder: string) => string = (text) => text,
): Promise<string> {
  const folder = await Deno.makeTempDir({ dir: PLACE, prefix: "covey-closed-" }),
    stateDir = `${folder}/state`;
  await Deno.chmod(folder, 0o711);
  await Deno.mkdir(stateDir, { mode: 0o711 });
  const shim = await copyShim(folder, (text) => change(text, folder));
  const executor = await createProcessExecutor({ stateDir, nodeID: NODE_ID }, { shim });
  try {
    const task = processTask(spec), controller = await executor.controller(task);
    await controller.start(never);
    const { ExitCode } = await controller.wait(never);
    const output = await Deno.readTextFile(`${stateDir}/logs/${task.ID}.log`);
    await controller.remove(never);
    return `${ExitCode} ${output}`;
  } finally {
    await executor.close();
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test({
  name: "Closed: with a read-only root a program writes into its own folder and nowhere else, root's too",
  ignore: !isRoot, // only root makes mounts
  fn: async () => {
    const script = [
      `for dir in / /etc /usr /var/lib /run /tmp /srv; do [ ! -d $dir ] || ! touch $dir/covey-was-here || echo WROTE $dir; done`,
      `touch here && echo x >"$PWD/there" && ls`,
      "echo out >/dev/null && echo y >>/dev/stdout",
    ].join("\n");
    for (const User of ["0:0", ""]) {
      const output = await ran(shell(script, { ReadOnly: true, ...User && { User } }));
      assert.doesNotMatch(output, /WROTE/, User);
      assert.match(output, /^0 [^]*here\nthere\ny\n$/, User);
      if (User) assert.match(output, /Read-only file system/);
    }
    // The device has what it had.
    for (const dir of ["/etc", "/tmp"]) {
      await Deno.writeTextFile(`${dir}/covey-was-here`, "");
      await Deno.remove(`${dir}/covey-was-here`);
    }
  },
});

Deno.test({
  name: "Closed: a private /tmp is empty, may be written to, and goes with the program",
  ignore: !isRoot, // only root makes mounts
  fn: async () => {
    const mark = await Deno.makeTempFile();
    for (const ReadOnly of [false, true]) {
      const script = "ls -A /tmp /var/tmp; echo mine >/tmp/mine && cat /tmp/mine; stat -f -c %T /tmp; pwd";
      const output = await ran(shell(script, { PrivateTmp: true, ...ReadOnly && { ReadOnly } }));
      assert.match(output, /^0 \/tmp:\n\n\/var\/tmp:\nmine\ntmpfs\n\/var\/lib\/covey-closed-/);
      await assert.rejects(Deno.stat("/tmp/mine"), Deno.errors.NotFound);
    }
    assert.doesNotMatch(await Deno.readTextFile("/proc/self/mounts"), /^covey \/tmp/m);
    assert.match(await ran(shell("pwd", { ReadOnly: true, Dir: "/usr" })), /^0 \/usr\n$/);
    await Deno.remove(mark);
  },
});

Deno.test({
  name: "Closed: where it is not possible the field says so, and nothing runs",
  ignore: !isRoot, // somebody else is told so before
  fn: async () => {
    const spec = shell("true", { ReadOnly: true });
    const noTool = (text: string) => text.replace("look_for unshare", "look_for nothing-such");
    await assert.rejects(ran(spec, noTool), /ProcessSpec.ReadOnly: this device has no unshare or mount/);
    const noMount = (text: string) => text.replace('"${folder:-$own_folder}" "$found"', '"" /bin/false');
    await assert.rejects(
      ran(spec, noMount),
      /ProcessSpec.ReadOnly: not possible on this device: cannot mount/,
    );
    for (
      const [closed, words] of [["home", "request no view: home"], ["tmp", "the agent's own folder is in"]]
    ) {
      const stateDir = await stateFolder();
      const answer = await ask(stateDir, runLines({ id: "t", command: "true", closed: closed! }));
      assert.ok(answer.includes(words!), answer);
      await Deno.remove(stateDir, { recursive: true });
    }
  },
});

Deno.test({
  name: "Devices: a program gets at those that it names and its device lets in, by their groups",
  ignore: !isRoot, // only root's tasks are kept from any
  fn: async () => {
    const device = (await Deno.makeTempFile({ dir: "/dev", prefix: "covey-" })).replace(/$/, "-node");
    const made = await new Deno.Command("mknod", { args: ["-m", "660", device, "c", "1", "3"] }).output();
    assert.ok(made.success);
    await Deno.chown(device, 0, 12345);
    await Deno.remove(device.replace(/-node$/, ""));
    const list = (lines: string) => (text: string, folder: string) => {
      Deno.writeTextFileSync(`${folder}/devices`, lines);
      return text.replace("DEVICES=/etc/covey/devices", `DEVICES=${folder}/devices`);
    };
    const script = `echo x >${device} && echo REACHED; id -G | wc -w`;
    try {
      const Devices = [device], mine = list(`# mine\n${device.slice(0, -4)}*\n`);
      assert.equal(await ran(shell(script, { Devices }), mine), "0 REACHED\n2\n");
      assert.equal(await ran(shell(script, { Devices, User: "nobody" }), mine), "0 REACHED\n2\n");
      assert.match(await ran(shell(script), mine), /ermission denied[^]*\n1\n$/);
      const refused: [ProcessSpec, string, RegExp][] = [
        [
          shell(script, { Devices }),
          "/dev/other\n",
          /ProcessSpec.Devices: not let in by \S+devices: \/dev\/covey-/,
        ],
        [shell(script, { Devices: ["/dev/no-such"] }), "/dev/*", /Devices: no such device: \/dev\/no-such/],
        [shell(script, { Devices: ["/dev/shm"] }), "/dev/*", /Devices: no such device: \/dev\/shm/],
      ];
      for (const [spec, lines, words] of refused) await assert.rejects(ran(spec, list(lines)), words);
      await Deno.chown(device, 0, 0);
      await assert.rejects(ran(shell(script, { Devices }), mine), /belongs to root's group alone/);
    } finally {
      await Deno.remove(device);
    }
  },
});

Deno.test("Devices: what is no path in /dev is refused where it is submitted, and by the shim whatever the agent says", async () => {
  const wrong = [
    "",
    "dev/x",
    "/dev/",
    "/dev/../etc/shadow",
    "/dev/./x",
    "/dev//x",
    "/etc/shadow",
    "/dev/a b",
  ];
  for (const device of wrong) assert.equal(deviceProblems("Devices", [device]).length, 1, device);
  assert.deepEqual(deviceProblems("Devices", ["/dev/serial/by-id/usb-1a86_USB-if00:1", "/dev/i2c-1"]), []);
  for (const devices of ["/dev/../etc/shadow", "/etc/shadow", "/dev//null", "/dev/null"]) {
    const stateDir = await stateFolder();
    const answer = await ask(stateDir, runLines({ id: "t", command: "true", devices }));
    assert.match(answer, /^1 refused ProcessSpec.Devices /, devices);
    await Deno.remove(stateDir, { recursive: true });
  }
});
