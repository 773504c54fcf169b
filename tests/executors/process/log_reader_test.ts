/** What is read of a program's log files, as they grow and are rotated. */
import assert from "node:assert/strict";
import { logTime } from "../../../api/logs.ts";
import type { LogRequest, LogStep } from "../../../executors/executor.ts";
import { LogKeeper } from "../../../executors/process/log_keeper.ts";
import { type LogFiles, logName, readLog } from "../../../executors/process/log_reader.ts";
import { LogTimes } from "../../../executors/process/log_times.ts";
import { FakeClock, settle } from "../../support/fake_clock.ts";

const never = new AbortController().signal;

/** A folder with logs of task `t`, and who keeps it. */
class World {
  readonly dir: string;
  readonly clock = new FakeClock();
  readonly maxBytes: number;
  keeper: LogKeeper;
  ended = false;
  #wake = () => {};

  constructor(maxBytes = 1000) {
    this.dir = `${Deno.makeTempDirSync({ prefix: "covey-logs-" })}/logs`;
    Deno.mkdirSync(this.dir);
    this.maxBytes = maxBytes;
    this.keeper = new LogKeeper(this.dir, this.clock, maxBytes);
  }

  async print(text: string, stream: "stdout" | "stderr" = "stdout"): Promise<void> {
    await Deno.writeTextFile(`${this.dir}/${logName("t", stream)}`, text, { append: true });
  }

  end(): void {
    this.ended = true;
    this.#wake();
  }

  read(request: Partial<LogRequest> = {}): AsyncGenerator<LogStep> {
    const files: LogFiles = {
      keeper: this.keeper,
      hasEnded: () => Promise.resolve(this.ended),
      onEnd: (wake) => {
        this.#wake = wake;
        return () => {};
      },
    };
    return readLog(files, "t", { streams: ["stdout", "stderr"], follow: false, ...request }, never);
  }

  async close(): Promise<void> {
    await this.keeper.close();
    await Deno.remove(this.dir.slice(0, -"/logs".length), { recursive: true });
  }
}

function textOf(step: LogStep): string {
  if (step === "caught up") return step;
  return step.Lost === undefined ? new TextDecoder().decode(step.Data) : `lost ${step.Lost}`;
}

async function all(steps: AsyncIterable<LogStep>): Promise<string[]> {
  const texts: string[] = [];
  for await (const step of steps) texts.push(textOf(step));
  return texts;
}

async function inWorld(run: (world: World) => Promise<void>, maxBytes?: number): Promise<void> {
  const world = new World(maxBytes);
  try {
    await run(world);
  } finally {
    await world.close();
  }
}

const lines = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => `line ${String(from + i).padStart(4, "0")}\n`);

Deno.test("Process logs: the tail is exact across a rotation, and what is gone is not missed", () =>
  inWorld(async (world) => {
    await world.print(lines(1, 200).join(""));
    // The first look rotates: the last 1,000 bytes are the older file.
    world.keeper.open();
    await untilRotated(world);
    await world.print(lines(201, 205).join(""));
    assert.deepEqual(await all(world.read({ tail: 7 })), [...lines(199, 205), "caught up"]);
    const kept = await all(world.read());
    assert.deepEqual(kept.slice(-101), [...lines(106, 205), "caught up"]);
  }));

async function untilRotated(world: World): Promise<void> {
  for (;;) {
    if (await Deno.stat(`${world.dir}/t.log.1`).then(({ size }) => size > 0, () => false)) {
      if ((await Deno.stat(`${world.dir}/t.log`)).size === 0) return;
    }
    await settle();
  }
}

Deno.test("Process logs: who reads too slowly is shown how much is missing", () =>
  inWorld(async (world) => {
    await world.print(lines(1, 10).join(""));
    const reading = world.read({ follow: true });
    assert.equal(textOf((await reading.next()).value!), "line 0001\n");
    await world.print(lines(11, 9_999).join(""));
    world.keeper.open();
    await untilRotated(world);
    world.end();
    const rest = await all(reading);
    // Of 99,990 bytes some were read ahead, and the last 1,000 are kept.
    const lost = rest.filter((text) => text.startsWith("lost "));
    assert.equal(lost.length, 1, lost.join());
    assert.equal(rest.at(-1), "line 9999\n");
    const got = rest.filter((text) => text.startsWith("line ")).length * 10 + 10;
    assert.equal(Number(lost[0]!.slice("lost ".length)) + got, 99_990);
  }));

Deno.test("Process logs: streams are in the order of time, and a line without an end comes when the program has ended", () =>
  inWorld(async (world) => {
    const reading = world.read({ follow: true }), texts: string[] = [];
    const done = (async () => {
      for await (const step of reading) texts.push(textOf(step));
    })();
    const say = async (text: string, stream: "stdout" | "stderr") => {
      await world.print(text, stream);
      world.clock.advance(5);
      await world.keeper.look(logName("t", stream));
      await settle();
    };
    await say("one\n", "stdout");
    await say("two\n", "stderr");
    await say("three, ", "stdout");
    await say("and more\nfour", "stdout");
    world.end();
    await done;
    assert.deepEqual(texts.filter((text) => text !== "caught up"), [
      "one\n",
      "two\n",
      "three, and more\n",
      "four",
    ]);
  }));

Deno.test("Process logs: a long line comes in pieces, as of an engine", () =>
  inWorld(async (world) => {
    await world.print(`${"x".repeat(40_000)}\ny\n`);
    const texts = await all(world.read());
    assert.deepEqual(texts.map((text) => text.length), [16384, 16384, 7233, 2, "caught up".length]);
  }, 1e6));

Deno.test("Process logs: a symbolic link that a program made is not followed", () =>
  inWorld(async (world) => {
    await Deno.writeTextFile(`${world.dir}/../key`, "secret\n");
    await Deno.symlink("../key", `${world.dir}/t.log`);
    await assert.rejects(all(world.read()), /t\.log is a symbolic link/);
  }));

Deno.test("Process logs: the next agent knows when what stands there was written", () =>
  inWorld(async (world) => {
    world.keeper.open();
    await world.print("before\n");
    await world.keeper.look("t.log");
    const [first] = await steps(world);
    world.clock.advance(60_000);
    await world.keeper.close();
    await world.print("between\n");
    world.keeper = new LogKeeper(world.dir, world.clock, world.maxBytes);
    world.keeper.open();
    const [again, between] = await steps(world);
    assert.deepEqual(again, first);
    assert.ok(between!.Time >= first!.Time);
    assert.deepEqual(
      await all(world.read({ after: first!.Time })).then((texts) => texts.at(-1)),
      "caught up",
    );
    assert.equal(await Deno.stat(`${world.dir}_times.json`).then(() => "there", () => "gone"), "gone");
  }));

async function steps(world: World) {
  const found = [];
  for await (const step of world.read()) if (step !== "caught up") found.push(step);
  return found;
}

Deno.test("Process logs: what is remembered of times is bounded, and a clock that is set back reorders nothing", () => {
  const times = new LogTimes();
  for (let i = 1; i <= 10_000; i++) times.seen(i * 10, i === 5000 ? 1 : i * 1000);
  assert.ok(times.state.marks.length <= 256);
  let before = 0;
  for (let at = 0; at < 100_000; at += 10) {
    assert.ok(times.timeOf(at) >= before);
    before = times.timeOf(at);
  }
  times.rotated(500);
  assert.deepEqual([times.state.oldFrom, times.state.base], [99_500, 100_000]);
  assert.ok(times.state.marks.length < 256);
  // Emptied by somebody else.
  times.seen(0, 20_000_000);
  times.seen(5, 20_000_000);
  assert.deepEqual([times.state.base, times.state.end], [100_000, 100_005]);
  assert.equal(logTime(times.timeOf(100_001)), logTime(20_000_000));
});

Deno.test("Log keeper: all logs together have a limit, of which each has its share, the older ones too", async () => {
  const dir = `${Deno.makeTempDirSync({ prefix: "covey-logs-" })}/logs`, clock = new FakeClock();
  await Deno.mkdir(dir);
  const total = 512 * 1024, keeper = new LogKeeper(dir, clock, 1024 * 1024, total);
  for (const n of [1, 2, 3, 4]) await Deno.writeFile(`${dir}/${n}.log`, new Uint8Array(100_000).fill(n));
  await Deno.writeFile(`${dir}/1.log.1`, new Uint8Array(200_000).fill(9));
  keeper.open();
  const sizes = () =>
    Object.fromEntries(
      [...Deno.readDirSync(dir)].map(({ name }) => [name, Deno.statSync(`${dir}/${name}`).size]),
    );
  const isDone = () => Object.values(sizes()).reduce((sum, size) => sum + size, 0) <= total;
  const watch = Deno.watchFs(dir);
  if (!isDone()) { for await (const _ of watch) if (isDone()) break; }
  await keeper.close();
  const after = sizes();
  // The share of each of four and of its older one is 64 KiB.
  for (const n of [1, 2, 3, 4]) {
    assert.ok((after[`${n}.log`] ?? 0) + (after[`${n}.log.1`] ?? 0) <= 2 * 64 * 1024, JSON.stringify(after));
  }
  assert.equal((await Deno.readFile(`${dir}/1.log.1`))[0], 1);
  await Deno.remove(dir.slice(0, -"/logs".length), { recursive: true });
});
