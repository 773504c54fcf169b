/** Scenario 73: an entry that a newer version wrote stops a member that does not know it; it is never skipped. */
import { deepStrictEqual, rejects, throws } from "node:assert/strict";
import { Encoder } from "cbor-x/index-no-eval";
import { hasCode } from "../../../../api/errors.ts";
import { openKvDisk } from "../../../../manager/consensus/disk/kv_disk.ts";
import { DiskStorage } from "../../../../manager/consensus/disk/disk_storage.ts";
import { frameState, unframe } from "../../../../manager/consensus/member/entry_frame.ts";
import { service } from "../../store/objects.ts";
import { open, withFolder } from "./one_member.ts";

const cbor = new Encoder({ useRecords: false, mapsAsObjects: true, variableMapSize: true });

/** Puts an entry at the end of a stopped member's log. */
async function append(folder: string, data: Uint8Array): Promise<void> {
  const disk = await openKvDisk(`${folder}/consensus.kv`);
  const storage = await DiskStorage.open(disk);
  const { lastIndex } = storage.log;
  await storage.save({ entries: [{ index: lastIndex + 1, term: storage.term(lastIndex)!, kind: 0, data }] });
  await disk.close();
}

/** A stopped member with one service. */
async function prepare(folder: string): Promise<void> {
  const { store, consensus } = await open(folder);
  await store.update((tx) => tx.create("services", service("a")));
  await consensus.stop();
}

Deno.test("Entry frame: an unknown kind, and an empty entry, are refused (scenario 73)", () => {
  for (const entry of [[2], [255, 1, 2], []]) {
    throws(() => unframe(Uint8Array.from(entry)), (e) => hasCode(e, "unimplemented"));
  }
  deepStrictEqual(unframe(frameState(Uint8Array.of(7))), { kind: "state", data: Uint8Array.of(7) });
});

Deno.test("RaftMember alone: an entry of an unknown kind stops it, at every start (scenario 73)", () =>
  withFolder(async (folder) => {
    await prepare(folder);
    await append(folder, Uint8Array.of(9, 1, 2, 3));
    for (let start = 0; start < 2; start++) {
      await rejects(open(folder), (e) => hasCode(e, "unimplemented") && e.message.includes("its kind is 9"));
    }
  }));

Deno.test("RaftMember alone: a change of an unknown table or action stops it (scenario 73)", () =>
  withFolder(async (folder) => {
    for (
      const [change, problem] of [
        [{ a: "c", t: "volumes", o: { ID: "v" } }, /Cannot read change c of volumes/],
        [{ a: "p", t: "services", o: { ID: "a" } }, /Cannot read change p of services/],
      ] as const
    ) {
      const own = `${folder}/${change.t}`;
      await Deno.mkdir(own);
      await prepare(own);
      await append(own, frameState(cbor.encode([99, change])));
      await rejects(open(own), problem);
    }
  }));
