/** What `install.sh` and `bundle.sh` refuse, each with the reason and before anything is made. */
import assert from "node:assert/strict";
import { BareDevice } from "../support/bare_device.ts";
import { inFolder, ROOT } from "../support/programs.ts";

Deno.test("install.sh: refuses a 32-bit system, a taken port and an unknown bundle by name, and makes nothing", () =>
  inFolder(async (folder) => {
    const device = await BareDevice.make(`${folder}/d`, "pi");
    await Deno.copyFile(`${ROOT}install/install.sh`, `${folder}/d/install.sh`);
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 }), { port } = listener.addr;
    let shell = "sh";
    const refused = async (reason: RegExp, flags: string) => {
      const said = await device.run(`${shell} /install.sh ${flags} 2>&1; echo "code $?"`);
      assert.match(said, reason);
      assert.match(said, /code 1\n$/);
    };
    try {
      await device.switchOn();
      assert.match(
        await device.run("sh /install.sh --check; echo code $?"),
        /OK +architecture +x86_64\n[^]*code 0\n$/,
      );
      await refused(new RegExp(`FAIL +port +${port} is taken`), `--manager --listen 0.0.0.0:${port}`);
      await refused(/Cannot install: there is no bundle at \//, "--join a");
      await refused(/Cannot install: it is to be a device .* or a --manager/, "--from /nothing");
      await refused(/Cannot uninstall: nothing is installed/, "--uninstall");
      shell = "linux32 sh";
      await refused(
        /FAIL +architecture +i686: Deno is made for 64-bit[^]*1 of the checks failed/,
        "--join a",
      );
      assert.equal(await device.run("ls -d /opt/covey/current /etc/covey/* 2>/dev/null"), "");
    } finally {
      await device.cutPower();
      listener.close();
    }
  }));

/** Puts into `prefix` a Deno that the path leads to by a script, which finds it by where it stands itself: as npm's does. */
async function placeDeno(prefix: string): Promise<void> {
  for (const part of ["bin", "lib"]) await Deno.mkdir(`${prefix}/${part}`, { recursive: true });
  await Deno.copyFile(Deno.execPath(), `${prefix}/lib/deno`);
  const script = '#!/bin/sh\nexec "${0%/*}/../lib/deno" "$@"\n';
  await Deno.writeTextFile(`${prefix}/bin/deno`, script, { mode: 0o755 });
}

Deno.test("install.sh: a bundle without Deno takes the device's program, not the script that leads to it", () =>
  inFolder(async (folder) => {
    const root = `${folder}/d`, device = await BareDevice.make(root, "pi");
    await Deno.copyFile(`${ROOT}install/install.sh`, `${root}/install.sh`);
    await Deno.mkdir(`${root}/bundle/bin`, { recursive: true });
    await Deno.mkdir(`${root}/bundle/agent`);
    await Deno.writeTextFile(`${root}/bundle/VERSION`, "fake\n");
    await Deno.writeTextFile(`${root}/bundle/agent/main.js`, "");
    // It is a device already.
    await Deno.mkdir(`${root}/etc/covey`);
    await Deno.writeTextFile(`${root}/etc/covey/agent.flags`, "");
    await placeDeno(`${root}/usr/local`);
    try {
      await device.switchOn();
      assert.doesNotMatch(await device.run("sh /install.sh --prepare --from /bundle 2>&1"), /Cannot/);
      const same = "cmp /opt/covey/versions/fake/bin/deno /usr/local/lib/deno && echo the same";
      assert.equal(await device.run(same), "the same\n");
    } finally {
      await device.cutPower();
    }
  }));

Deno.test("bundle.sh: a Deno that the device could not run is refused before anything is made", () =>
  inFolder(async (folder) => {
    const bundle = async (...flags: string[]) => {
      const args = ["--out", `${folder}/dist`, ...flags];
      const env = { COVEY_DENO: "", PATH: `${folder}/bin:${Deno.env.get("PATH")}` };
      const { code, stderr } = await new Deno.Command(`${ROOT}install/bundle.sh`, { args, env }).output();
      assert.equal(code, 1);
      return new TextDecoder().decode(stderr);
    };
    await placeDeno(folder);
    const other = Deno.build.arch === "x86_64" ? "aarch64" : "x86_64";
    assert.match(
      await bundle("--arch", other, "--deno", Deno.execPath()),
      /is not made for .*; name another with --deno/,
    );
    // What the path leads to, not the script.
    assert.match(await bundle("--arch", other), /lib\/deno is not made for/);
    assert.match(await bundle("--arch", "armv7l"), /--arch is x86_64 or aarch64, current value is "armv7l"/);
    assert.match(await bundle("--deno", "/no/deno"), /there is no Deno at \/no\/deno/);
    await assert.rejects(Deno.stat(`${folder}/dist`), Deno.errors.NotFound);
  }));
