/** What `start.sh` does when what it starts has ended. */
import assert from "node:assert/strict";
import { START_AGAIN } from "../../api/parent.ts";
import { BareDevice } from "../support/bare_device.ts";
import { inFolder, ROOT } from "../support/programs.ts";

/** Ends with the codes in the file, one after the other; the one after the last goes on. */
const PROGRAM = `#!/bin/sh
echo "started$COVEY_KEPT" >>/notes
code=$(head -n 1 /codes)
[ -n "$code" ] || exec sleep 100000
sed -i 1d /codes
exit "$code"
`;
/** Notes that somebody waits, and does not. */
const PAUSE = '#!/bin/sh\necho "paused $1" >>/notes\n';

Deno.test("start.sh keep: one that asks to be started again is started at once, any other that ends after a pause; only an agent is told", () =>
  inFolder(async (folder) => {
    const root = `${folder}/d`,
      device = await BareDevice.make(root, "pi"),
      version = `${root}/opt/covey/versions/v`;
    for (const part of ["bin", "agent", "manager"]) {
      await Deno.mkdir(`${version}/${part}`, { recursive: true });
    }
    await Deno.symlink("versions/v", `${root}/opt/covey/current`);
    await Deno.mkdir(`${root}/etc/covey`);
    for (const role of ["agent", "manager"]) {
      await Deno.writeTextFile(`${version}/${role}/launch.sh`, PROGRAM, { mode: 0o755 });
      await Deno.writeTextFile(`${root}/etc/covey/${role}.flags`, "");
    }
    await Deno.writeTextFile(`${version}/bin/deno`, "#!/bin/sh\n", { mode: 0o755 });
    // The shell of such a device has its own `sleep`, whatever the path leads to.
    const keeper = (await Deno.readTextFile(`${ROOT}install/start.sh`)).replace(
      'sleep "$PAUSE',
      '/pause "$PAUSE',
    );
    await Deno.writeTextFile(`${root}/opt/covey/start.sh`, keeper, { mode: 0o755 });
    await Deno.writeTextFile(`${root}/pause`, PAUSE, { mode: 0o755 });
    try {
      await device.switchOn();
      for (const [role, kept] of [["agent", "yes"], ["manager", ""]] as const) {
        await Deno.writeTextFile(`${root}/codes`, `${START_AGAIN}\n0\n1\n`);
        await Deno.writeTextFile(`${root}/notes`, "");
        await device.run(`/opt/covey/start.sh keep ${role} &`);
        const started = `started${kept}`, paused = "paused 5";
        await device.shows(/(started\w*[^]*){4}/, "cat /notes");
        assert.deepEqual((await device.run("cat /notes")).trim().split("\n"), [
          started,
          started,
          paused,
          started,
          paused,
          started,
        ]);
      }
    } finally {
      await device.cutPower();
    }
  }));
