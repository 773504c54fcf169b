import assert from "node:assert/strict";
import fc from "fast-check";
import { BACKUP_FORMAT, type BackupFrame, type BackupHead, readBackup } from "../../../api/backup.ts";
import { hasCode } from "../../../api/errors.ts";
import { seal, unseal } from "../../../cli/sealed_stream.ts";
import { backupOf, chunked, concat } from "./cluster.ts";

const HEAD: BackupHead = {
  ClusterID: "c",
  Index: 7,
  Version: 9,
  CreatedAt: "2026-01-01T00:00:00.000Z",
  CoveyVersion: "1.2.3",
  Managers: [{ NodeID: "m1", Addr: "10.0.0.1:2377" }],
};
/** Hashing a passphrase so often takes no time. */
const FEW_ITERATIONS = 10;

function frames(entries: Uint8Array[]): BackupFrame[] {
  return [
    { kind: "head", head: HEAD },
    ...entries.map((entry): BackupFrame => ({ kind: "entry", entry })),
    { kind: "end", end: { Objects: entries.length } },
  ];
}

function read(bytes: Uint8Array, size?: number): Promise<BackupFrame[]> {
  return Array.fromAsync(readBackup(chunked(bytes, size)));
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  return concat(await Array.fromAsync(chunks));
}

const SMALL = backupOf(frames([new Uint8Array([1, 2, 3]), new Uint8Array()]));

Deno.test("Backup format: what was written is read, however the stream is cut", () =>
  fc.assert(fc.asyncProperty(
    fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 }),
    fc.integer({ min: 1, max: 400 }),
    async (entries, size) => {
      const parts = await read(backupOf(frames(entries)), size);
      const read8 = parts.map((part) =>
        part.kind === "entry" ? { ...part, entry: new Uint8Array(part.entry) } : part
      );
      assert.deepEqual(read8, frames(entries.map((entry) => new Uint8Array(entry))));
    },
  )));

Deno.test("Backup format: every single changed byte is refused", async () => {
  for (let at = 0; at < SMALL.length; at++) {
    for (const flip of [0x01, 0x80, 0xff]) {
      const bytes = SMALL.slice();
      bytes[at]! ^= flip;
      await assert.rejects(read(bytes), (error) => {
        assert.ok(hasCode(error, "data_loss", "invalid_argument", "unimplemented"), `${error} at ${at}`);
        assert.match(
          error.message,
          /^Cannot read the backup: (it is damaged|it is cut off|its format|this is no)/,
        );
        return true;
      });
    }
  }
});

Deno.test("Backup format: one cut off anywhere is refused, and one with something behind it", async () => {
  for (let length = 0; length < SMALL.length; length++) {
    await assert.rejects(read(SMALL.subarray(0, length)), /cut off after \d+ bytes|no backup of Covey/);
  }
  await assert.rejects(read(concat([SMALL, new Uint8Array([0])])), /something follows its end/);
  await assert.rejects(read(concat([SMALL, SMALL])), /something follows its end/);
});

Deno.test("Backup format: a foreign file, a newer format and a missing head are told apart", async () => {
  await assert.rejects(
    read(new TextEncoder().encode("SQLite format 3, or so")),
    /this is no backup of Covey/,
  );
  await assert.rejects(read(new Uint8Array()), /it is empty/);
  const newer = SMALL.slice();
  new DataView(newer.buffer).setUint16(8, BACKUP_FORMAT + 1);
  await assert.rejects(
    read(newer),
    (error) => hasCode(error, "unimplemented") && /its format is 2/.test(error.message),
  );
  await assert.rejects(read(backupOf(frames([]).slice(1))), /it is damaged, end is part 0/);
  const twoHeads = backupOf([...frames([]).slice(0, 1), ...frames([])]);
  await assert.rejects(read(twoHeads), /it is damaged, head is part 1/);
});

Deno.test("Backup format: a part that claims to be huge is refused before it is read", async () => {
  const bytes = SMALL.slice();
  new DataView(bytes.buffer).setUint32(11, 0xffff_ffff);
  await assert.rejects(read(bytes), /no part can begin as at byte 10/);
});

Deno.test("Sealed stream: what was encrypted is decrypted, however long", async () => {
  const block = 64 * 1024;
  for (const length of [0, 1, block - 1, block, block + 1, 3 * block]) {
    const plain = crypto.getRandomValues(new Uint8Array(Math.min(length, 1000)));
    const bytes = concat(Array.from({ length: Math.ceil(length / 1000) }, () => plain)).subarray(0, length);
    const sealed = await collect(seal(chunked(bytes, 700), "secret", FEW_ITERATIONS));
    assert.deepEqual(await collect(unseal(chunked(sealed, 999), "secret")), new Uint8Array(bytes));
  }
});

Deno.test("Sealed stream: a wrong passphrase, every changed byte and every cut are refused", async () => {
  const sealed = await collect(seal(chunked(SMALL), "secret", FEW_ITERATIONS));
  const open = (bytes: Uint8Array, passphrase = "secret") => collect(unseal(chunked(bytes), passphrase));
  await assert.rejects(open(sealed, "Secret"), (error) => hasCode(error, "unauthenticated"));
  // From the salt on: a changed number of rounds is refused too, but may take a minute.
  for (let at = 14; at < sealed.length; at++) {
    const bytes = sealed.slice();
    bytes[at]! ^= 0x10;
    await assert.rejects(open(bytes), (error) => hasCode(error, "unauthenticated", "data_loss"));
  }
  for (let length = 0; length < sealed.length; length++) {
    await assert.rejects(open(sealed.subarray(0, length)));
  }
  await assert.rejects(open(concat([sealed, new Uint8Array([0])])));
});

Deno.test("Sealed stream: blocks can neither be left out nor change places", async () => {
  const bytes = new Uint8Array(3 * 64 * 1024 + 5).map((_, i) => i % 251);
  const [preamble, a, b, c, d] = await Array.fromAsync(seal(chunked(bytes, 5000), "secret", FEW_ITERATIONS));
  const open = (...parts: (Uint8Array | undefined)[]) =>
    collect(unseal(chunked(concat(parts.map((part) => part!))), "secret"));
  assert.equal((await open(preamble, a, b, c, d)).length, bytes.length);
  for (const parts of [[a, b, c], [a, b, d], [b, a, c, d], [a, a, b, c, d], [b, c, d], [d]]) {
    await assert.rejects(open(preamble, ...parts), (error) => hasCode(error, "unauthenticated", "data_loss"));
  }
});
