/** A manager on a folder whose log holds what no manager can read: it says so, and goes on as docs/operations/ says. */
import assert from "node:assert/strict";
import { Encoder } from "cbor-x/index-no-eval";
import { DiskStorage } from "../../manager/consensus/disk/disk_storage.ts";
import { frameState } from "../../manager/consensus/member/entry_frame.ts";
import { joinEntry } from "../../manager/store/entry.ts";
import { openState, startManager } from "../support/one_manager.ts";
import { freePort, inFolder, refused, run } from "../support/programs.ts";

/** As an earlier version wrote, which took what no reader takes. */
const old = new Encoder({ useRecords: false, mapsAsObjects: true, variableMapSize: true });

/** Leaves a status in the log of the manager in `stateDir`; resolves with the entry's index. */
async function poison(stateDir: string): Promise<number> {
  const disk = await openState(stateDir);
  const storage = await DiskStorage.open(disk), { lastIndex } = storage.log, index = lastIndex + 1;
  const object = { ID: "bad", Status: { ContainerStatus: { PID: -(2n ** 64n) } } };
  const data = frameState(joinEntry(99, [old.encode({ a: "u", t: "tasks", o: object })]));
  await storage.save({ entries: [{ index, term: storage.term(lastIndex)!, kind: 0, data }] });
  await disk.close();
  return index;
}

Deno.test("Unreadable entry: the manager names it at every start, and goes on when started with --skip-entry", () =>
  inFolder(async (folder) => {
    const listen = ["--listen", `127.0.0.1:${freePort()}`], socket = `${folder}/m/covey.sock`;
    const serves = async (...flags: string[]) => {
      const manager = startManager(folder, "m", ...listen, ...flags);
      try {
        await manager.says(/serves at/);
        const { code, stderr, stdout } = await run("covey", socket, "service", "ls", "-q");
        assert.equal(code, 0, stderr);
        const name = `s${stdout.length}`;
        const made = await run("covey", socket, "service", "create", "--detach", "--name", name, "busybox");
        assert.equal(made.code, 0, made.stderr);
        assert.equal(await manager.end(), 0);
        return { listed: stdout.trim().split("\n").filter(Boolean).length, output: manager.output };
      } finally {
        await manager.end("SIGKILL");
      }
    };
    assert.equal((await serves()).listed, 0);
    const index = await poison(`${folder}/m`);
    for (let start = 0; start < 2; start++) {
      const manager = startManager(folder, "m", ...listen);
      await refused(manager, new RegExp(`Cannot apply entry ${index} of term \\d+: .*tag 3 .* in tasks bad`));
    }
    const skipping = await serves("--skip-entry", String(index));
    assert.equal(skipping.listed, 1);
    assert.match(skipping.output, new RegExp(`Skips entry ${index} of term`));
    assert.equal((await serves()).listed, 2);
  }));
