/** What cannot be read is named, and passed over only when told so, on folders as they are. */
import { deepStrictEqual, ok, rejects } from "node:assert/strict";
import { Encoder } from "cbor-x/index-no-eval";
import { hasCode } from "../../../../api/errors.ts";
import { openKvDisk } from "../../../../manager/consensus/disk/kv_disk.ts";
import { DiskStorage } from "../../../../manager/consensus/disk/disk_storage.ts";
import { frameState } from "../../../../manager/consensus/member/entry_frame.ts";
import { encodedWrite, joinEntry } from "../../../../manager/store/entry.ts";
import { service, task } from "../../store/objects.ts";
import { MemoryQuorum } from "./memory_quorum.ts";
import { open, withFolder } from "./one_member.ts";

/** As an earlier version wrote, which took what no reader takes. */
const old = new Encoder({ useRecords: false, mapsAsObjects: true, variableMapSize: true });
const poisoned = {
  ...task("bad", "a"),
  Status: { State: "running", ContainerStatus: { PID: Uint8Array.of(1) } },
};

async function onDisk<T>(folder: string, work: (storage: DiskStorage) => Promise<T>): Promise<T> {
  const disk = await openKvDisk(`${folder}/consensus.kv`);
  try {
    return await work(await DiskStorage.open(disk));
  } finally {
    await disk.close();
  }
}

/** Puts an entry at the end of a stopped member's log; resolves with its index. */
function append(folder: string, data: Uint8Array): Promise<number> {
  return onDisk(folder, async (storage) => {
    const { lastIndex } = storage.log, index = lastIndex + 1;
    await storage.save({ entries: [{ index, term: storage.term(lastIndex)!, kind: 0, data }] });
    return index;
  });
}

/** A stopped member with the service `before`, an entry that cannot be read, and the service `after`. */
async function prepare(folder: string): Promise<number> {
  const { store, consensus } = await open(folder);
  await store.update((tx) => tx.create("services", service("before")));
  await consensus.stop();
  const good = encodedWrite({ action: "create", table: "services", object: service("beside") });
  const index = await append(
    folder,
    frameState(joinEntry(8, [old.encode({ a: "c", t: "tasks", o: poisoned }), good])),
  );
  await append(
    folder,
    frameState(
      joinEntry(9, [encodedWrite({ action: "create", table: "services", object: service("after") })]),
    ),
  );
  return index;
}

async function services(folder: string, skip?: { entries: number[]; records: string[] }): Promise<string[]> {
  const { store, consensus } = await open(folder, { ...(skip && { skip }) });
  const names = store.all("services").map(({ ID }) => ID);
  await store.update((tx) => tx.create("services", service(`more${names.length}`)));
  await consensus.stop();
  return names;
}

Deno.test("RaftMember: an entry that it cannot read is named: index, term, objects, why, and where to read on", () =>
  withFolder(async (folder) => {
    const index = await prepare(folder);
    await rejects(open(folder), (error) => {
      ok(hasCode(error, "data_loss"), String(error));
      const said = new RegExp(
        `^Cannot apply entry ${index} of term \\d+: .*tag 64 is not allowed in tasks bad ` +
          `\\(the entry writes 1 more\\); docs/operations/unreadable.md`,
      );
      ok(said.test(error.message), error.message);
      return true;
    });
  }));

Deno.test("RaftMember: passes over an entry that it cannot read when told so, at later starts without being told", () =>
  withFolder(async (folder) => {
    const index = await prepare(folder);
    const skip = { entries: [index], records: [] };
    deepStrictEqual(await services(folder, skip), ["before", "after"]);
    deepStrictEqual(await services(folder, skip), ["before", "after", "more2"]);
    deepStrictEqual(await services(folder), ["before", "after", "more2", "more3"]);
  }));

Deno.test("RaftMember: an entry that can be read, is not there, or only a newer version knows, is not passed over", () =>
  withFolder(async (folder) => {
    const index = await prepare(folder);
    const kind9 = await append(folder, Uint8Array.of(9, 1));
    const volume = await append(
      folder,
      frameState(joinEntry(9, [old.encode({ a: "c", t: "volumes", o: {} })])),
    );
    for (
      const [entry, why] of [
        [index - 1, /it can be read/],
        [index + 1, /it can be read/],
        [kind9, /its kind is 9/],
        [volume, /change c of volumes/],
        [volume + 1, /the log ends with/],
      ] as const
    ) {
      await rejects(
        open(folder, { skip: { entries: [index, entry], records: [] } }),
        (error) => hasCode(error, "failed_precondition") && why.test(error.message),
      );
    }
    // Nothing of it was noted.
    await rejects(open(folder), new RegExp(`Cannot apply entry ${index} `));
  }));

Deno.test("RaftMember: a record of the state that it cannot read is named, and passed over when told so", () =>
  withFolder(async (folder) => {
    const { store, consensus } = await open(folder);
    await store.update((tx) => tx.create("services", service("before")));
    await consensus.stop();
    await onDisk(folder, async (storage) => {
      const dirty = [["tasks/bad", poisoned], ["services/kept", service("kept")]] as const;
      await storage.writeCheckpoint(
        storage.log.lastIndex,
        dirty.map(([key, object], nth) => ({ key, value: old.encode([nth, object]) })),
        storage.membership,
      );
    });
    await rejects(
      open(folder),
      (error) =>
        hasCode(error, "data_loss") &&
        /^Cannot read record tasks\/bad of the state: .*tag 64.*unreadable\.md/.test(error.message),
    );
    const skip = { entries: [], records: ["tasks/bad", "services/kept"] };
    // What can be read is kept, whatever was asked for.
    deepStrictEqual(await services(folder, skip), ["kept"]);
    deepStrictEqual(await services(folder), ["kept", "more1"]);
  }));

Deno.test("Quorum: an entry that stops all followers is passed over by all members, and nothing else is lost", async () => {
  const quorum = await MemoryQuorum.ofThree();
  await quorum.write("before");
  await quorum.agree("before");
  const stopped = new Map<string, string>();
  for (const id of ["m2", "m3"]) {
    void quorum.running.get(id)!.member.failed.then(({ message }) => stopped.set(id, message));
  }
  // As a leader of an earlier version did: it applies its own objects, not the bytes.
  const beside = service("beside"), version = 99;
  const writes = [["tasks", poisoned], ["services", beside]] as const;
  const bytes = writes.map(([t, o]) => old.encode({ a: "c", t, o }));
  const local = { version, writes: writes.map(([table, object]) => ({ action: "create", table, object })) };
  quorum.running.get("m1")!.member.propose(joinEntry(version, bytes), local).catch(() => {});
  await quorum.until("the followers stop", () => stopped.size === 2);
  const named = [...stopped.values()].map((message) => /^Cannot apply entry (\d+) of term/.exec(message)![1]);
  deepStrictEqual(named, [named[0], named[0]]);

  const skip = { entries: [Number(named[0])], records: [] };
  for (const id of ["m1", "m2", "m3"]) await quorum.kill(id);
  for (const id of ["m1", "m2", "m3"]) await quorum.start(id, { skip });
  await quorum.write("after");
  await quorum.agree("before", "after");
  // Whoever joins later hears nothing of it, and the next start needs to be told nothing.
  await quorum.join("m4");
  await quorum.kill("m1");
  await quorum.start("m1");
  await quorum.write("later");
  await quorum.agree("before", "after", "later");
  await quorum.close();
});
