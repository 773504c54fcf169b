import assert from "node:assert/strict";
import fc from "fast-check";
import { MAX_OLD_SNAPSHOTS } from "../../../../api/cluster.ts";
import type { Disk } from "../../../../manager/consensus/disk/disk.ts";
import { DiskStorage } from "../../../../manager/consensus/disk/disk_storage.ts";
import { EMPTY_CONF_STATE } from "../../../../manager/raft/mod.ts";
import type { DirtyRecord } from "../../../../manager/consensus/state_machine.ts";
import { FakeClock } from "../../../support/fake_clock.ts";
import { MemoryDisk } from "../member/memory_disk.ts";

const NOBODY = { confState: EMPTY_CONF_STATE, addresses: [] };

type Model = Map<string, Uint8Array>;

/** A member's disk with the states that it should have, by index. */
class Machine {
  readonly memory = new MemoryDisk();
  readonly states = new Map<number, Model>([[0, new Map()]]);
  readonly #changes = new Map<number, [string, number][]>();
  disk!: Disk;
  storage!: DiskStorage;
  keep = 0;
  index = 0;

  /** Starts, again if it has run before; what the log holds after the checkpoint is applied anew. */
  async open(): Promise<void> {
    this.disk = this.memory.open();
    this.storage = await DiskStorage.open(this.disk);
    await this.storage.loadState(() => {});
    this.storage.oldSnapshots = this.keep;
  }

  set(keep: number): void {
    this.keep = keep;
    this.storage.oldSnapshots = keep;
  }

  /** Applies one entry that changes records; -1 deletes. */
  async apply(changes: [string, number][]): Promise<void> {
    const state = new Map(this.states.get(this.index));
    this.#changes.set(++this.index, changes);
    for (const [key, size] of changes) {
      if (size < 0) state.delete(key);
      else state.set(key, new Uint8Array(size).fill(this.index));
    }
    this.states.set(this.index, state);
    await this.storage.save({ entries: [{ index: this.index, term: 1, kind: 0, data: new Uint8Array(1) }] });
  }

  async checkpoint(): Promise<void> {
    const now = this.states.get(this.index)!, dirty = new Set<string>();
    for (let index = this.storage.checkpointIndex + 1; index <= this.index; index++) {
      for (const [key] of this.#changes.get(index)!) dirty.add(key);
    }
    const records = Array.from(dirty, (key) => ({ key, value: now.get(key) }));
    await this.storage.writeCheckpoint(this.index, records, NOBODY);
    await this.storage.log.compact(this.index);
  }

  /** Every earlier state that is kept is what it was. */
  async check(): Promise<void> {
    const old = this.storage.old.map(({ index }) => index);
    assert.deepEqual(old, [...old].sort((a, b) => a - b));
    for (const index of old) {
      assert.ok(index < this.storage.checkpointIndex);
      const found = foldInto(new Map(), await Array.fromAsync(this.storage.readOld(index)));
      assert.deepEqual(summary(found), summary(this.states.get(index)!), `snapshot ${index}`);
    }
    const present: Model = new Map();
    await this.storage.loadState((record) => void foldInto(present, [record]));
    if (this.storage.checkpointIndex === this.index) {
      assert.deepEqual(summary(present), summary(this.states.get(this.index)!));
    }
  }
}

function foldInto(state: Model, records: DirtyRecord[]): Model {
  for (const { key, value } of records) value ? state.set(key, value.slice()) : state.delete(key);
  return state;
}

function summary(state: Model): unknown {
  return [...state].map(([key, value]) => [key, value.length, value[0]]).sort();
}

async function keysUnder(disk: Disk, prefix: string): Promise<number> {
  return (await Array.fromAsync(disk.list([prefix]))).length;
}

Deno.test("Old snapshots: as many as are asked for are kept, older ones go, none are kept by default", async () => {
  const machine = new Machine();
  await machine.open();
  const next = async () => {
    await machine.apply([["a", 300_000], [`b${machine.index}`, 10]]);
    await machine.checkpoint();
    return machine.storage.old.map(({ index }) => index);
  };
  assert.deepEqual([await next(), await next()], [[], []]);
  assert.deepEqual([await keysUnder(machine.disk, "old"), await keysUnder(machine.disk, "old segment")], [
    0,
    0,
  ]);
  machine.set(2);
  // What the checkpoint before the option consisted of, nobody has noted.
  assert.deepEqual([await next(), await next(), await next(), await next()], [[], [3], [3, 4], [4, 5]]);
  await machine.check();
  await machine.open();
  assert.deepEqual(machine.storage.old.map(({ index }) => index), [4, 5]);
  await machine.check();
  assert.deepEqual(await next(), [5, 6]);
  machine.set(1);
  assert.deepEqual(await next(), [7]);
  machine.set(0);
  assert.deepEqual(await next(), []);
  assert.deepEqual([await keysUnder(machine.disk, "old"), await keysUnder(machine.disk, "old segment")], [
    0,
    0,
  ]);
  machine.set(MAX_OLD_SNAPSHOTS + 5);
  for (let i = 0; i < MAX_OLD_SNAPSHOTS + 3; i++) await next();
  assert.equal(machine.storage.old.length, MAX_OLD_SNAPSHOTS);
});

Deno.test("Old snapshots: after any crash, what is listed is what it was, and the present state too", async () => {
  const key = fc.constantFrom("a", "b", "c", "d");
  const changes = fc.array(fc.tuple(key, fc.constantFrom(-1, 10, 90_000, 600_000)), { maxLength: 4 });
  const round = fc.record({
    changes,
    keep: fc.constantFrom(0, 1, 2, 3),
    left: fc.constantFrom(0, 1, 2, 3, 5, 9, 99),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(round, { maxLength: 10 }), async (rounds) => {
      const machine = new Machine();
      await machine.open();
      for (const { changes, keep, left } of rounds) {
        machine.set(keep);
        await machine.apply(changes);
        machine.memory.left = left;
        const whole = await machine.checkpoint().then(() => true, () => false);
        machine.memory.left = Infinity;
        if (!whole) await machine.open();
        assert.ok(machine.storage.old.length <= Math.max(3, keep));
        await machine.check();
      }
      machine.set(0);
      await machine.apply([["a", 1]]);
      await machine.checkpoint();
      assert.deepEqual([await keysUnder(machine.disk, "old"), await keysUnder(machine.disk, "old segment")], [
        0,
        0,
      ]);
    }),
    { numRuns: 60 },
  );
});

Deno.test("Old snapshots: a snapshot from another member takes their place; an unknown one is not found", async () => {
  const machine = new Machine();
  await machine.open();
  machine.set(3);
  for (let i = 0; i < 4; i++) {
    await machine.apply([["a", 400_000]]);
    await machine.checkpoint();
  }
  assert.equal(machine.storage.old.length, 3);
  const reading = machine.storage.readOld(2)[Symbol.asyncIterator]();
  await reading.next();
  const state = machine.storage.stage();
  await state.add([{ key: "z", value: new Uint8Array(3) }]);
  await state.end();
  const hardState = { term: 4, vote: 0, commit: 50 };
  await machine.storage.install({ index: 50, term: 4, state, membership: NOBODY, hardState });
  assert.deepEqual(machine.storage.old, []);
  assert.deepEqual([await keysUnder(machine.disk, "old"), await keysUnder(machine.disk, "old segment")], [
    0,
    0,
  ]);
  await assert.rejects(Array.fromAsync(machine.storage.readOld(2)), { code: "not_found" });
});

Deno.test("Old snapshots: each says when it was written; a damaged one is refused and harms no other", async () => {
  const memory = new MemoryDisk(), clock = new FakeClock();
  const storage = await DiskStorage.open(memory.open(), clock);
  storage.oldSnapshots = 2;
  for (let index = 1; index <= 4; index++) {
    await storage.save({ entries: [{ index, term: 1, kind: 0, data: new Uint8Array(1) }] });
    const written = storage.writeCheckpoint(
      index,
      [{ key: "a", value: new Uint8Array(300_000) }],
      NOBODY,
      () => true,
    );
    await written;
    await clock.advance(60_000);
  }
  const [first, second] = storage.old;
  assert.deepEqual([first!.index, second!.index, second!.writtenAt - first!.writtenAt], [2, 3, 60_000]);
  memory.flip(["old segment", 0, 1, 0]);
  await assert.rejects(Array.fromAsync(storage.readOld(2)), { code: "data_loss" });
  assert.equal((await Array.fromAsync(storage.readOld(3))).length, 2);
  memory.flip(["old", 3]);
  const again = await DiskStorage.open(memory.open(), clock);
  await again.loadState(() => {});
  assert.deepEqual(again.old.map(({ index }) => index), [2]);
});
