import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import type { Disk, DiskKey, Mutation } from "../../../../manager/consensus/disk/disk.ts";
import { JournaledDisk } from "../../../../manager/consensus/disk/journaled_disk.ts";
import { MemoryDisk } from "../member/memory_disk.ts";
import { MemoryJournal } from "./memory_journal.ts";

/** Disk and journal, as one power supply feeds them. */
class Machine {
  readonly database = new MemoryDisk();
  readonly journal = new MemoryJournal();

  open(): Promise<JournaledDisk> {
    this.database.left = this.journal.left = Infinity;
    return JournaledDisk.open(this.database.open(), () => Promise.resolve(this.journal.open()));
  }

  /** Flips a bit of the journal. */
  flip(at: number): void {
    this.journal.bytes[at]! ^= 4;
  }
}

function set(key: string, bytes: number, fill = 1): Mutation {
  return { key: [key], value: new Uint8Array(bytes).fill(fill) };
}

async function contents(disk: Disk, prefix: DiskKey = []): Promise<Record<string, string>> {
  const records = await Array.fromAsync(disk.list(prefix));
  return Object.fromEntries(
    records.map(({ key, value }) => [key.join("/"), `${value.length} x ${value[0]}`]),
  );
}

Deno.test("Journaled disk: small commits leave the database alone until there are many", async () => {
  const machine = new Machine(), disk = await machine.open();
  for (let nth = 0; nth < 200; nth++) await disk.commit([set("a", 400, nth), set(`k${nth}`, 10)]);
  deepStrictEqual([machine.journal.writes, machine.database.commits], [200, 0]);
  deepStrictEqual(await disk.get(["a"]), set("a", 400, 199).value);
  for (let nth = 0; nth < 1_000; nth++) await disk.commit([set("a", 400, nth)]);
  strictEqual(machine.database.commits, 2);
});

Deno.test("Journaled disk: reads see what is in the journal, in the database and on its way", async () => {
  const machine = new Machine(), disk = await machine.open();
  await disk.commit([set("a", 10), set("b", 10)]);
  await disk.commit([{ key: ["a"], value: undefined }, set("big", 50_000)]);
  await disk.commit([set("b", 20), set("c", 5)]);
  strictEqual(await disk.get(["a"]), undefined);
  strictEqual((await disk.get(["b"]))?.length, 20);
  strictEqual((await disk.get(["big"]))?.length, 50_000);
  deepStrictEqual(await contents(disk), { b: "20 x 1", big: "50000 x 1", c: "5 x 1" });
  const begun = disk.commit([set("c", 6)]);
  deepStrictEqual(await contents(disk, ["c"]), { c: "6 x 1" }, "also what was begun before the reading");
  await begun;
});

Deno.test("Journaled disk: once it is closed, the database alone has everything", async () => {
  const machine = new Machine(), disk = await machine.open();
  await disk.commit([set("a", 10)]);
  await disk.close();
  machine.journal.bytes.fill(0);
  deepStrictEqual(await contents(await machine.open()), { a: "10 x 1" });
});

Deno.test("Journaled disk: a write that failed is the last, whichever of the two it was", async () => {
  for (const which of ["journal", "database"] as const) {
    const machine = new Machine(), disk = await machine.open();
    await disk.commit([set("a", 10)]);
    machine[which].left = 0;
    await rejects(disk.commit([set("b", which === "journal" ? 10 : 50_000)]), {
      code: "data_loss",
      message: /the test pulled the plug/,
    });
    machine[which].left = Infinity;
    await rejects(disk.commit([set("c", 10)]), { code: "data_loss" });
    ok(await disk.failed);
    deepStrictEqual(await contents(await machine.open()), { a: "10 x 1" });
  }
});

Deno.test("Journaled disk: what was damaged before the end is named, and nothing is taken from it", async () => {
  // Two generations of 512 records each; the second is not full.
  const machine = new Machine();
  let disk = await machine.open();
  machine.database.hangs = true;
  for (let nth = 0; nth < 700; nth++) await disk.commit([set("a", 400, nth)]);
  machine.database.hangs = false;
  const damage = {
    code: "data_loss",
    message: "Cannot read the journal: it is damaged before its last record",
  };
  const last = 512 * 512 - 512, other = 512 * 512;
  // The first generation is in the second half.
  for (const at of [other, other + 5, other + 512 * 77 + 300, other + last + 100, 0, 512 * 100 + 30]) {
    machine.flip(at);
    await rejects(machine.open(), damage, `byte ${at}`);
    machine.flip(at);
  }
  disk = await machine.open();
  deepStrictEqual(await contents(disk), { a: "400 x 187" });
});

/** What is to be done: commits, and where the power goes. */
const history = fc.record({
  commits: fc.array(
    fc.array(
      fc.record({
        key: fc.constantFrom("a", "b", "c", "d", "e"),
        bytes: fc.oneof(
          fc.constant(-1),
          fc.integer({ max: 900, min: 1 }),
          fc.integer({ max: 40_000, min: 1 }),
        ),
      }),
      { minLength: 1, maxLength: 4 },
    ),
    { minLength: 1, maxLength: 120 },
  ),
  journalWrites: fc.integer({ min: 0, max: 120 }),
  databaseCommits: fc.integer({ min: 0, max: 12 }),
  torn: fc.array(fc.boolean(), { minLength: 1, maxLength: 5 }),
  restarts: fc.array(fc.nat(119), { maxLength: 3 }),
});

Deno.test("Journaled disk: wherever the power goes, what was acknowledged is there, and a commit is whole or not", async () => {
  await fc.assert(
    fc.asyncProperty(history, async ({ commits, journalWrites, databaseCommits, torn, restarts }) => {
      const machine = new Machine();
      let disk = await machine.open();
      let [wanted, maybe]: Record<string, string>[] = [{}, {}];
      const cut = () => {
        machine.journal.left = journalWrites;
        machine.database.left = databaseCommits;
        machine.journal.torn = (sectors) =>
          [...Array(sectors).keys()].filter((nth) => torn[nth % torn.length]);
      };
      cut();
      for (const [nth, commit] of commits.entries()) {
        if (restarts.includes(nth)) {
          disk = await machine.open();
          cut();
        }
        const mutations = commit.map(({ key, bytes }): Mutation =>
          bytes < 0 ? { key: [key], value: undefined } : set(key, bytes, nth)
        );
        maybe = { ...wanted! };
        for (const { key, value } of mutations) {
          if (value === undefined) delete maybe[key[0]!];
          else maybe[key[0]!] = `${value.length} x ${value[0]}`;
        }
        const done = await disk.commit(mutations).then(() => true, () => false);
        if (!done) {
          disk = await machine.open();
          const found = await contents(disk);
          if (JSON.stringify(sorted(found)) !== JSON.stringify(sorted(maybe))) {
            deepStrictEqual(found, wanted, `after commit ${nth}`);
          }
          wanted = found;
          cut();
        } else wanted = maybe;
      }
      machine.database.left = machine.journal.left = Infinity;
      deepStrictEqual(await contents(await machine.open()), wanted);
    }),
    { numRuns: 300 },
  );
});

function sorted(record: Record<string, string>): [string, string][] {
  return Object.entries(record).sort(([a], [b]) => a < b ? -1 : 1);
}
