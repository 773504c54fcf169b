import assert from "node:assert/strict";
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
