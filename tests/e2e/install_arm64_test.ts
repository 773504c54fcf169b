/** The installation where it is meant to be: arm64, with nothing but Debian's C library and busybox. */
import assert from "node:assert/strict";
import { arm64Deno, NO_ARM64 } from "../support/arm64_device.ts";
import { Arm64Root } from "../support/arm64_root.ts";
import { makeBundle, serveFolder } from "../support/bundle.ts";
import { joinToken, startManager } from "../support/one_manager.ts";
import { freePort, inFolder, run, shows } from "../support/programs.ts";

/** Lists the programs of both tasks, by number. */
const TASKS = "ps -o pid,args | awk '/[s]leep 100000|[r]un --quiet/ { print $1 }'";

Deno.test({
  name:
    "Install: an arm64 device is installed by one line, runs a program and a script, and does so again after a reboot offline",
  ignore: NO_ARM64 !== "", // the reason is in the constant
  fn: () =>
    inFolder(async (folder) => {
      // The device has its Deno already: to unpack a bundle that brings it takes a translated processor long.
      await makeBundle(`${folder}/dist`, "--arch", "aarch64", "--deno", "none");
      const web = serveFolder(`${folder}/dist`), port = freePort(), socket = `${folder}/m/covey.sock`;
      const advertised = `127.0.0.1:${port}`, url = `http://127.0.0.1:${web.port}`;
      const manager = startManager(folder, "m", "--listen", advertised, "--advertise", advertised);
      const device = await Arm64Root.make(`${folder}/pi`, "pi");
      await Deno.rename(await arm64Deno(folder), `${folder}/pi/usr/bin/deno`);
      try {
        await manager.says(/serves at/);
        await device.switchOn();
        const token = await joinToken(socket);
        const said = await device.run(
          `wget -qO- ${url}/install.sh | COVEY_JOIN_TOKEN=${token} sh -s -- --from ${url} --join ${advertised} --docker none`,
        );
        assert.match(said, /OK +architecture +aarch64/);
        assert.match(said, /covey: this device is connected/);
        await shows(/"Architecture": "aarch64"/, "covey", socket, "node", "inspect", "pi");
        await Deno.writeTextFile(`${folder}/beat.js`, "setInterval(() => console.log('beat'), 1000)");
        await create(socket, "hello", "process", "sleep", "100000");
        await create(socket, "beat", "deno", `${folder}/beat.js`);
        for (const name of ["hello", "beat"]) {
          await shows(/ pi +Running +Running /, "covey", socket, "service", "ps", name);
        }
        assert.equal(await manager.end(), 0);
        await device.cutPower();
        await device.switchOn();
        await device.shows(/^\d+\n\d+\n$/, TASKS);
        assert.match(await device.run("/etc/init.d/covey-agent status"), /covey-agent runs/);
      } finally {
        await device.cutPower();
        await manager.end("SIGKILL");
        await web.stop();
      }
    }),
});

async function create(socket: string, name: string, executor: string, ...more: string[]): Promise<void> {
  const flags = ["--detach", "--name", name, "--mode", "global", "--executor", executor];
  const { code, stderr } = await run("covey", socket, "service", "create", ...flags, ...more);
  assert.equal(code, 0, stderr);
}
