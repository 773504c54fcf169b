/** What a member does with a snapshot that arrives: bounded, checked, and never in one long step. */
import assert from "node:assert/strict";
import { readInto, type StateRecord } from "../../../manager/consensus/state_machine.ts";
import { Storage } from "../../../manager/consensus/storage.ts";
import { EMPTY_CONF_STATE } from "../../../manager/raft/mod.ts";
import { receiveSnapshot } from "../../../manager/quorum/snapshot_stream.ts";
import { MemoryDisk } from "./memory_disk.ts";

const RECORD = new Uint8Array(1_000);

async function* snapshot(count: number, total = count): AsyncGenerator<unknown> {
  const Message = {
    ...{ type: "snapshot", from: 1, to: 2, term: 1 },
    snapshot: { index: 5, term: 1, confState: EMPTY_CONF_STATE },
  };
  yield await Promise.resolve({ Message, Members: [] });
  for (let n = 0; n < count; n++) yield { Records: [`services/${n}`, RECORD] };
  yield { Records: [], Total: total };
}

Deno.test("Snapshot stream: what is larger than the limit is refused by its size, not taken in", async () => {
  await assert.rejects(receiveSnapshot(snapshot(11), 10_000), {
    code: "resource_exhausted",
    message: "Cannot take in a snapshot: it has more than 10000 bytes",
  });
  const { data } = await receiveSnapshot(snapshot(10), 10_000);
  assert.equal([...data.records].length, 10);
});

Deno.test("Snapshot stream: one that lacks a record is not used", async () => {
  await assert.rejects(receiveSnapshot(snapshot(10, 11)), { code: "data_loss" });
});

Deno.test("Snapshot: the new state comes into being between the writes to disk, not after them", async () => {
  let [commits, added] = [0, 0];
  const inner = new MemoryDisk().open();
  const disk = Object.create(inner, {
    commit: {
      value: (mutations: Parameters<typeof inner.commit>[0]) => {
        commits++;
        return inner.commit(mutations);
      },
    },
  });
  const storage = await Storage.open(disk);
  const { data } = await receiveSnapshot(snapshot(5_000));
  const addedBefore = new Set<number>();
  const image = {
    add: (_: StateRecord) => {
      added++;
      addedBefore.add(commits);
    },
    adopt: () => {},
  };
  await storage.install({
    ...{ index: 5, term: 1, membership: { confState: EMPTY_CONF_STATE, addresses: [] } },
    hardState: { term: 1, vote: 0, commit: 5 },
    records: readInto(image, data.records),
  });
  assert.equal(added, 5_000);
  assert.ok(addedBefore.size >= 5, `${addedBefore.size} pieces`);
});
