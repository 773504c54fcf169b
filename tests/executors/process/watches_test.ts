/** Watches that the system refuses or ends: what hangs on them goes on. */
import assert from "node:assert/strict";
import { ExitWatch, type FolderWatch } from "../../../executors/process/exit_watch.ts";
import { LogKeeper } from "../../../executors/process/log_keeper.ts";
import { FakeClock, settle } from "../../support/fake_clock.ts";

/** A watch that a test breaks. */
function brittleWatch(): FolderWatch & { break(): void } {
  const end = Promise.withResolvers<never>();
  return {
    [Symbol.asyncIterator]: () => ({ next: () => end.promise }),
    break: () => end.reject(new Error("the system took it away")),
    close: () => end.reject(new Error("closed")),
  };
}

Deno.test("Exit watch: one that breaks is made anew, and what ended meanwhile is told", async () => {
  const dir = await Deno.makeTempDir(), clock = new FakeClock();
  const watches: ReturnType<typeof brittleWatch>[] = [];
  let refusals = 0;
  const exits = new ExitWatch(dir, clock, () => {
    if (refusals-- > 0) throw new Error("Too many open files");
    watches.push(brittleWatch());
    return watches.at(-1)!;
  });
  const told: unknown[] = [];
  exits.listen("t", (record) => told.push(record));
  await Deno.writeTextFile(`${dir}/t`, "shim\nprogram\nexit 7\n");
  refusals = 2;
  watches[0]!.break();
  for (let seconds = 0; seconds < 4; seconds++) {
    await settle();
    await clock.advance(1000);
  }
  while (told.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  assert.deepEqual(told, [{ code: 7 }]);
  assert.equal(watches.length, 2);
  await exits.close();
  await Deno.remove(dir, { recursive: true });
});

Deno.test("Exit watch: where the system has none to give, a start is to be tried again", () => {
  const exits = new ExitWatch("/nonexistent", new FakeClock());
  assert.throws(() => exits.open(), { code: "unavailable", retryable: true });
});

Deno.test("Log keeper: a folder that cannot be watched now is kept as soon as it can", async () => {
  const folder = await Deno.makeTempDir(), dir = `${folder}/logs`, clock = new FakeClock();
  const keeper = new LogKeeper(dir, clock, 10);
  keeper.open();
  await settle();
  await Deno.mkdir(dir);
  await Deno.writeTextFile(`${dir}/t.log`, "0123456789 and more");
  await clock.advance(30_000);
  const isSmall = async () => (await Deno.stat(`${dir}/t.log`)).size <= 10;
  while (!await isSmall()) await new Promise((resolve) => setTimeout(resolve, 1));
  await keeper.close();
  await Deno.remove(folder, { recursive: true });
});
