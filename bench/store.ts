/**
 * What the store does on a real disk: creates per second with 1, 16 and 256 writers, bytes written for each, and, by
 * `restart.ts`, how long a restart takes. Run: `deno run -A --unstable-kv bench/store.ts [FOLDER]`
 */
import { fileURLToPath } from "node:url";
import { newID, systemRandom } from "../api/random.ts";
import type { Task } from "../api/task.ts";
import { openDiskStore } from "./support/disk_store.ts";

const WRITERS = [1, 16, 256];
const MEASURE_MS = 3000;

const parent = Deno.args[0] ?? await Deno.makeTempDir({ prefix: "covey-bench-" });
const folder = await Deno.makeTempDir({ dir: parent });

try {
  for (const writers of WRITERS) await measureCreates(writers);
  await measureRestart();
} finally {
  await Deno.remove(Deno.args[0] === undefined ? parent : folder, { recursive: true });
}

async function measureCreates(writers: number): Promise<void> {
  const { store, consensus } = await openDiskStore(`${folder}/consensus.kv`);
  const [bytesBefore, indexBefore, start] = [bytesWritten(), store.index, performance.now()];
  const latencies: number[] = [];
  const writer = async () => {
    while (performance.now() - start < MEASURE_MS) {
      const begin = performance.now();
      await store.update((tx) => tx.create("tasks", benchTask()));
      latencies.push(performance.now() - begin);
    }
  };
  await Promise.all(Array.from({ length: writers }, writer));
  const seconds = (performance.now() - start) / 1000;
  const commits = store.index - indexBefore;
  await consensus.stop();
  const perWrite = (bytesWritten() - bytesBefore) / latencies.length;
  latencies.sort((a, b) => a - b);
  const p99 = latencies[Math.floor(latencies.length * 0.99)] ?? 0;
  console.log(
    `${writers} writers: ${Math.round(latencies.length / seconds)} creates/s, ` +
      `${Math.round(commits / seconds)} commits/s, p99 ${p99.toFixed(1)} ms, ` +
      `${Math.round(perWrite / 1024)} KiB to disk per create`,
  );
}

async function measureRestart(): Promise<void> {
  const program = fileURLToPath(new URL("restart.ts", import.meta.url));
  const args = ["run", "-A", "--unstable-kv", program, "100000", "3", parent];
  const { success } = await new Deno.Command(Deno.execPath(), { args }).spawn().status;
  if (!success) throw new Error("Cannot measure a restart");
}

/** Bytes that this process made the kernel write to disk. */
function bytesWritten(): number {
  return Number(/^write_bytes: (\d+)$/m.exec(Deno.readTextFileSync("/proc/self/io"))?.[1]);
}

/** About 1 KB encoded. */
function benchTask(): Task {
  const Env = Array.from({ length: 16 }, (_, i) => `VARIABLE_${i}=some value of it`);
  return {
    ID: newID(systemRandom),
    Version: { Index: 0 },
    CreatedAt: "",
    UpdatedAt: "",
    Spec: {
      Runtime: "container",
      ContainerSpec: { Image: "busybox:latest", Args: ["sleep", "600"], Env },
      ForceUpdate: 0,
    },
    ServiceID: newID(systemRandom),
    Slot: 1,
    NodeID: newID(systemRandom),
    ServiceAnnotations: { Name: "bench", Labels: { purpose: "measuring" } },
    Status: { Timestamp: "2026-01-01T00:00:00.000Z", State: "new", Message: "created" },
    DesiredState: "running",
  };
}
