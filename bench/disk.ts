/**
 * What managers write to their disks: bytes for each small write with few and many writers, alone and in a quorum, and bytes
 * while nothing happens.
 *
 *     deno run -A --unstable-kv bench/disk.ts [seconds without writes, default 60] [folder, default a temporary one]
 *
 * Bytes are `write_bytes` of `/proc/PID/io`: pages that the process made the file system write, whatever it then adds.
 */
import { BareQuorum } from "./quorum/members.ts";

const VALUE_BYTES = 256, WRITERS = [1, 16, 256], SIZES = [1, 3];
/** Long enough for checkpoints, which count too. */
const LOAD_MS = 12_000, WARM_UP_MS = 2_000;
/** What is still under way when the load ends has reached the disk by then. */
const SETTLE_MS = 3_000;

async function written(pids: readonly number[]): Promise<number[]> {
  return await Promise.all(pids.map(async (pid) => {
    const text = await Deno.readTextFile(`/proc/${pid}/io`);
    return Number(/^write_bytes: (\d+)$/m.exec(text)![1]);
  }));
}

/** Bytes that each process writes while `run` runs. */
async function writtenDuring(pids: readonly number[], run: () => Promise<unknown>): Promise<number[]> {
  const before = await written(pids);
  await run();
  const after = await written(pids);
  return after.map((bytes, nth) => bytes - before[nth]!);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function measure(folder: string, size: number, idleMs: number): Promise<void> {
  const quorum = new BareQuorum();
  try {
    await quorum.start(folder, VALUE_BYTES, size);
    console.log(`${size} ${size === 1 ? "manager" : "managers"}, writes of ${VALUE_BYTES} bytes:`);
    for (const writers of WRITERS) {
      await quorum.drive(writers, WARM_UP_MS);
      let writes = 0;
      const bytes = await writtenDuring(quorum.pids, async () => {
        writes = (await quorum.drive(writers, LOAD_MS)).rate * LOAD_MS / 1000;
      });
      const each = bytes.map((count) => Math.round(count / writes)).join(", ");
      console.log(
        `  ${String(writers).padStart(3)} writers, ${(writes * 1000 / LOAD_MS).toFixed(0).padStart(6)}/s: ` +
          `${each} bytes a write (${size === 1 ? "the leader" : "leader, followers"})`,
      );
    }
    await pause(SETTLE_MS);
    const idle = await writtenDuring(quorum.pids, () => pause(idleMs));
    console.log(`  nothing to do for ${idleMs / 1000} s: ${idle.join(", ")} bytes`);
  } finally {
    await quorum.stop();
  }
}

const [seconds = "60", place] = Deno.args;
const folder = await Deno.makeTempDir({ prefix: "covey-bench-", ...(place && { dir: place }) });
try {
  for (const size of SIZES) await measure(`${folder}/${size}`, size, Number(seconds) * 1000);
} finally {
  await Deno.remove(folder, { recursive: true }).catch(() => {});
}
Deno.exit(0);
