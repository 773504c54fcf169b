/** What a member does with a snapshot that arrives: bounded, checked, stored as it comes; and how fast one is sent. */
import assert from "node:assert/strict";
import { configure, type LogRecord, reset } from "@logtape/logtape";
import type { Mutation } from "../../../../manager/consensus/disk/disk.ts";
import { DiskStorage } from "../../../../manager/consensus/disk/disk_storage.ts";
import { EMPTY_CONF_STATE, type Message } from "../../../../manager/raft/mod.ts";
import { receiveSnapshot, sendSnapshot } from "../../../../manager/consensus/peers/snapshot_stream.ts";
import type { Connection } from "../../../../transport/mod.ts";
import { FakeClock } from "../../../support/fake_clock.ts";
import { MemoryDisk } from "../member/memory_disk.ts";

const RECORD = new Uint8Array(1_000);
const MESSAGE: Message & { type: "snapshot" } = {
  type: "snapshot",
  from: 1,
  to: 2,
  term: 1,
  snapshot: { index: 5, term: 1, confState: EMPTY_CONF_STATE },
};

async function* snapshot(count: number, total = count, record = RECORD): AsyncGenerator<unknown> {
  yield await Promise.resolve({ Message: MESSAGE, Members: [] });
  for (let n = 0; n < count; n++) yield { Records: [`services/${n}`, record] };
  yield { Records: [], Total: total };
}

/** A place for a snapshot on `disk`; `added` sees how many records it has. */
async function place(disk = new MemoryDisk().open(), added: (count: number) => void = () => {}) {
  const storage = await DiskStorage.open(disk);
  let count = 0;
  return { storage, state: storage.stage(), image: { add: () => added(++count), adopt: () => {} } };
}

Deno.test("Snapshot stream: what is larger than the limit is refused by its size, not taken in", async () => {
  await assert.rejects(receiveSnapshot(snapshot(11), await place(), 10_000), {
    code: "resource_exhausted",
    message: "Cannot take in a snapshot: it has more than 10000 bytes",
  });
  let added = 0;
  await receiveSnapshot(snapshot(10), await place(undefined, (count) => added = count), 10_000);
  assert.equal(added, 10);
});

Deno.test("Snapshot stream: one that lacks a record is not used", async () => {
  await assert.rejects(receiveSnapshot(snapshot(10, 11), await place()), { code: "data_loss" });
});

Deno.test("Snapshot stream: records become objects, and are written, while others are still on their way", async () => {
  const inner = new MemoryDisk().open();
  const commits: number[] = [];
  let received = 0;
  const disk = Object.create(inner, {
    commit: {
      value: (mutations: readonly Mutation[]) => {
        commits.push(received);
        return inner.commit(mutations);
      },
    },
  });
  const into = await place(disk, (count) => received = count);
  await receiveSnapshot(snapshot(5_000), into);
  assert.equal(received, 5_000);
  assert.ok(commits.filter((count) => count < 5_000).length >= 5, `written when there were ${commits}`);
  const entry = { index: 1, term: 1, kind: 0, data: RECORD };
  await into.storage.save({ entries: [entry] });
  assert.deepEqual([into.storage.checkpointIndex, into.storage.log.lastIndex], [0, 1]);
});

Deno.test("Snapshot stream: one that is abandoned stops, and leaves nothing on the disk", async () => {
  const disk = new MemoryDisk().open();
  const into = await place(disk);
  const items = snapshot(5_000);
  let taken = 0;
  const stopped: AsyncIterator<unknown> = {
    next: async () => {
      if (taken++ === 2_000) await into.state.abandon();
      return await items.next();
    },
  };
  await assert.rejects(receiveSnapshot(stopped, into), { code: "canceled" });
  assert.ok((await Array.fromAsync(disk.list(["state"]))).length > 0);
  await into.state.drop();
  assert.deepEqual(await Array.fromAsync(disk.list(["state"])), []);
});

Deno.test("Snapshot stream: who takes in a large one says how far it is, and nothing of a small one", async () => {
  const said: string[] = [];
  const sinks = { memory: ({ message }: LogRecord) => void said.push(message.join("")) };
  const quiet = { category: ["logtape", "meta"], sinks: [] };
  await configure({ sinks, loggers: [{ category: ["covey"], sinks: ["memory"] }, quiet] });
  try {
    await receiveSnapshot(snapshot(100), await place());
    assert.deepEqual(said, []);
    await receiveSnapshot(snapshot(60, 60, new Uint8Array(2_000_000)), await place());
  } finally {
    await reset();
  }
  assert.deepEqual(said, [
    "Taking in the cluster's state: 50 MB so far",
    "Taking in the cluster's state: 100 MB so far",
    "The cluster's state has arrived, 120 MB",
  ]);
});

/** Sends 8 MB; returns the milliseconds after which each chunk went out. */
async function sendMegabytes(hurries: (sent: number) => boolean): Promise<number[]> {
  const clock = new FakeClock(), begin = clock.monotonic();
  const sentAt: number[] = [];
  const connection = {
    peer: { role: "swarm-manager", nodeID: "n" },
    clientStream: async (_: string, items: AsyncIterable<unknown>) => {
      for await (const item of items) {
        if ("Records" in (item as object)) sentAt.push(clock.monotonic() - begin);
      }
      return { Arrived: true };
    },
    close: () => {},
  } as unknown as Connection;
  const sent = sendSnapshot(
    {
      dialer: { dial: () => Promise.resolve(connection) },
      clock,
      hurries: () => hurries(sentAt.length),
    },
    { nodeID: "n", address: "n:1" },
    { From: 1, To: 2, Addr: "m:1" },
    MESSAGE,
    { addresses: [], records: Array.from({ length: 8_000 }, (_, n) => ({ key: `s/${n}`, value: RECORD })) },
    new AbortController().signal,
  );
  await clock.advance(1_100);
  assert.equal(await sent, true);
  return sentAt;
}

Deno.test("Snapshot stream: 8 MB take a second to send, whatever the network could carry", async () => {
  const sentAt = await sendMegabytes(() => false);
  const [first, tenth, last] = [0, Math.floor(sentAt.length / 10), sentAt.length - 1].map((n) => sentAt[n]!);
  assert.ok(first! <= 1 && last! > 900 && last! < 1_100, `first after ${first} ms, last after ${last} ms`);
  assert.ok(tenth! > 70 && tenth! < 130, `a tenth after ${tenth} ms`);
});

Deno.test("Snapshot stream: what all wait for is sent as fast as it is taken", async () => {
  const sentAt = await sendMegabytes((sent) => sent >= 20);
  assert.ok(sentAt[20]! > 100, `20 chunks after ${sentAt[20]} ms`);
  assert.ok(sentAt.at(-1)! - sentAt[20]! < 10, `the others ${sentAt.at(-1)! - sentAt[20]!} ms later`);
});
