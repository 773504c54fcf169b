import assert from "node:assert/strict";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { checkDatabase } from "../../security/mod.ts";

async function inFolder(test: (path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  const kv = await Deno.openKv(`${folder}/x.kv`);
  for (let i = 0; i < 500; i++) await kv.set(["key", i], "x".repeat(100));
  kv.close();
  try {
    await test(`${folder}/x.kv`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("Check database: a whole file and a new one pass", () =>
  inFolder(async (path) => {
    await checkDatabase(path);
    await checkDatabase(`${path}.new`);
    await (await Deno.openKv(path)).close();
  }));

Deno.test("Check database: a damaged page, a cut file and a foreign one are named with what SQLite says", () =>
  inFolder(async (path) => {
    const whole = await Deno.readFile(path);
    const damaged = Uint8Array.from(whole);
    for (let at = 4096; at < damaged.length; at += 4096) damaged.fill(0xff, at, at + 16);
    const contents = [damaged, whole.slice(0, 5000), new TextEncoder().encode("text".repeat(500))];
    for (const content of contents) {
      await Deno.writeFile(path, content);
      await assert.rejects(checkDatabase(path), {
        code: "data_loss",
        message: new RegExp(`Cannot open ${path}: .*(damaged|malformed|not a database)`),
      });
    }
  }));

Deno.test("Check database: an index that does not go with its table is damage, too", async () => {
  const path = `${await Deno.makeTempDir()}/x.kv`;
  try {
    const kv = await Deno.openKv(path);
    await kv.set(["key"], "x");
    kv.close();
    const database = new DatabaseSync(path);
    const index = database.prepare("select rootpage from sqlite_schema where name = 'kv_expiration_ms_idx'");
    const page = Number(index.get()!.rootpage);
    database.close();
    const bytes = await Deno.readFile(path);
    bytes[page * 4096 - 2]! ^= 0xff;
    await Deno.writeFile(path, bytes);
    await assert.rejects(checkDatabase(path), { code: "data_loss", message: /it is damaged: .*index/ });
  } finally {
    await Deno.remove(dirname(path), { recursive: true });
  }
});
