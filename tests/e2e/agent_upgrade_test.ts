/** A fleet gets another version of its agents through a service, and a device that it does not suit goes back by itself. */
import assert from "node:assert/strict";
import { BareDevice } from "../support/bare_device.ts";
import { makeBundle, serveFolder } from "../support/bundle.ts";
import { joinToken, startManager } from "../support/one_manager.ts";
import { freePort, inFolder, run, shows } from "../support/programs.ts";

/** Makes the bundle of another version out of `bundle`; `change` is done in its folder. */
async function otherVersion(
  bundle: string,
  folder: string,
  version: string,
  change: string,
): Promise<string> {
  const name = `covey-${version}-x86_64.tar.gz`;
  const script = `set -e
mkdir "${folder}/${version}"; cd "${folder}/${version}"; tar -xzf "${bundle}"
echo ${version} >covey/VERSION; cd covey; ${change}; cd ..
tar -czf "${folder}/dist/${name}" covey`;
  const { success } = await new Deno.Command("sh", { args: ["-c", script] }).output();
  assert.ok(success);
  return name;
}

Deno.test("Agent: a fleet upgrade goes through a service, restarts no task, and is taken back where it reaches no manager", () =>
  inFolder(async (folder) => {
    // The device has its Deno already: to pack and unpack one in every bundle takes long.
    const bundle = await makeBundle(`${folder}/dist`, "--deno", "none");
    const good = await otherVersion(bundle, folder, "good", "true");
    const silent = await otherVersion(
      bundle,
      folder,
      "silent",
      "echo 'setInterval(() => {}, 1000)' >agent/main.js",
    );
    const web = serveFolder(`${folder}/dist`), port = freePort(), socket = `${folder}/m/covey.sock`;
    const url = `http://127.0.0.1:${web.port}`, address = `127.0.0.1:${port}`;
    const manager = startManager(folder, "m", "--listen", address, "--advertise", address);
    const device = await BareDevice.make(`${folder}/d`, "pi");
    await Deno.copyFile(Deno.execPath(), `${folder}/d/bin/deno`);
    const upgrade = (...flags: string[]) => run("covey", socket, "agent", "upgrade", ...flags);
    const showsStatus = (pattern: RegExp) => shows(pattern, "covey", socket, "agent", "upgrade", "status");
    try {
      await manager.says(/serves at/);
      await device.switchOn();
      const token = await joinToken(socket);
      const line = `wget -qO- ${url}/install.sh | COVEY_JOIN_TOKEN=${token} sh -s -- --from ${url}`;
      assert.match(await device.run(`${line} --docker none --join ${address}`), /this device is connected/);
      const flags = [
        "--detach",
        "--name",
        "hello",
        "--mode",
        "global",
        "--executor",
        "process",
        "sleep",
        "100000",
      ];
      assert.equal((await run("covey", socket, "service", "create", ...flags)).code, 0);
      await shows(/ pi +Running +Running /, "covey", socket, "service", "ps", "hello");
      const hello = await device.run("pidof sleep");

      const asked = await upgrade("--bundle", `${url}/${good}`, "--deadline", "20", "--detach");
      assert.equal(asked.code, 0, asked.stderr);
      await showsStatus(/^pi +good +good +running$/m);
      await device.shows(
        /^versions\/good\n$/,
        "readlink /opt/covey/current; ls /opt/covey/trial 2>/dev/null",
      );

      const bad = await upgrade("--bundle", `${url}/${silent}`, "--deadline", "3");
      assert.equal(bad.code, 5, bad.stderr);
      // Told at once, although the task has one more try to come.
      await showsStatus(
        /^Failed: +pi in stage 1\n[^]*^pi +good +silent +\w+ +reached no manager, and went back$/m,
      );
      await device.shows(/^versions\/good\n$/, "readlink /opt/covey/current");
      assert.ok((await device.run("pidof sleep")).includes(hello.trim()));
    } finally {
      await device.cutPower();
      await manager.end("SIGKILL");
      await web.stop();
    }
  }));
