/**
 * `deno task sim [raft | cluster | fleet] [--seed S] [--seeds N] [--devices D] [--minutes M] [--workers W]`: one seed, or N
 * from S on, or as many as fit, of all simulations or of one; fleets are of D devices. Prints the commit, how far it is, and
 * the first violation with the seed, the rule, the last events and the command that replays it; then it ends with status 1.
 */
import { commandLine } from "../support/command_line.ts";
import type { Chunk, Part, SeedOutcome } from "./seed_run.ts";

const USAGE = "usage: deno task sim [raft | cluster | fleet] [--seed S] [--seeds N] [--devices D] " +
  "[--minutes M] [--workers W]";
const PARTS: readonly Part[] = ["raft", "cluster", "fleet"];
/** Seeds that a worker gets at once: a few seconds of work. */
const CHUNK = { raft: 100, cluster: 10, fleet: 5 };
const DEFAULT_DEVICES = 60;
/** Seeds of a run that names none, of each part. */
const SEEDS = 10_000;
const DEFAULT_MINUTES = 20;
const PROGRESS_MS = 15_000;
/** One whose simulated time has stood still for so long will never end, however large it is and busy the machine. */
const HANG_MS = 120_000;

interface Totals {
  seeds: number;
  virtualMs: number;
  entries: number;
  operations: number;
  tasks: number;
}

/** What the tree is; a seed means nothing without it. */
function commit(): string {
  try {
    const { stdout } = new Deno.Command("git", { args: ["describe", "--always", "--dirty"] }).outputSync();
    return new TextDecoder().decode(stdout).trim();
  } catch {
    return "unknown";
  }
}

/** Pieces of work, the parts in turn, so that an end by time leaves both with something done. */
function* chunks(parts: readonly Part[], first: number, count: number, devices: number): Iterator<Chunk> {
  const next = new Map(parts.map((part) => [part, first]));
  for (let more = true; more;) {
    more = false;
    for (const part of parts) {
      const from = next.get(part)!;
      const size = Math.min(CHUNK[part], first + count - from);
      if (size <= 0) continue;
      next.set(part, from + size);
      more = true;
      yield { part, from, count: size, devices };
    }
  }
}

function describe(part: Part, totals: Totals): string {
  const hours = (totals.virtualMs / 3_600_000).toFixed(2);
  return `${part}: ${totals.seeds} seeds, ${hours} simulated hours, ${totals.entries} entries, ` +
    `${totals.operations} operations, ${totals.tasks} programs started`;
}

function report({ part, seed, violation }: SeedOutcome, devices: number): void {
  const { rule, text, events } = violation!;
  for (const event of events) console.error(event);
  const of = part === "fleet" ? ` --devices ${devices}` : "";
  console.error(`\n${part} seed ${seed} violates ${rule}\n${text}`);
  console.error(`commit ${commit()}, replay: deno task sim ${part} --seed ${seed}${of}`);
}

/** Runs all chunks in `workers` workers; true if nothing was violated. */
async function runAll(
  work: Iterator<Chunk>,
  workers: number,
  deadline: number,
  onOutcome: (outcome: SeedOutcome) => void,
): Promise<boolean> {
  let violated = false;
  const runOne = () =>
    new Promise<void>((resolve) => {
      const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
      let at = "", devices = 0;
      let hangs: ReturnType<typeof setTimeout> | undefined;
      const end = () => {
        clearTimeout(hangs);
        worker.terminate();
        resolve();
      };
      const watch = () => {
        clearTimeout(hangs);
        hangs = setTimeout(() => {
          violated = true;
          console.error(`nothing has gone on for ${HANG_MS} ms, after or among ${at}: commit ${commit()}`);
          end();
        }, HANG_MS);
      };
      const next = () => {
        const chunk = violated || performance.now() >= deadline ? undefined : work.next().value;
        if (!chunk) return end();
        devices = chunk.devices;
        at = `${chunk.part} seeds ${chunk.from} to ${chunk.from + chunk.count - 1}`;
        watch();
        worker.postMessage(chunk);
      };
      worker.onmessage = ({ data }: MessageEvent<SeedOutcome | "done" | number>) => {
        if (violated) return end();
        if (data === "done") return next();
        watch();
        if (typeof data === "number") return;
        onOutcome(data);
        if (!data.violation) return;
        violated = true;
        report(data, devices);
        end();
      };
      next();
    });
  await Promise.all(Array.from({ length: workers }, runOne));
  return !violated;
}

async function main(): Promise<number> {
  const { numbers, positionals } = commandLine(USAGE, {
    seed: undefined as number | undefined,
    seeds: undefined as number | undefined,
    devices: DEFAULT_DEVICES,
    minutes: DEFAULT_MINUTES,
    workers: navigator.hardwareConcurrency,
  });
  const parts = (positionals.length > 0 ? positionals : PARTS) as Part[];
  if (!parts.every((part) => PARTS.includes(part))) {
    console.error(USAGE);
    return 2;
  }
  const first = numbers.seed ?? 1;
  const count = numbers.seeds ?? (numbers.seed === undefined ? SEEDS : 1);
  const started = performance.now();
  const totals = new Map(
    parts.map((part) => [part, { seeds: 0, virtualMs: 0, entries: 0, operations: 0, tasks: 0 }]),
  );
  const say = () => {
    const seconds = ((performance.now() - started) / 1000).toFixed(0);
    for (const [part, total] of totals) console.log(`${seconds} s, ${describe(part, total)}`);
  };
  console.log(`commit ${commit()}, seeds from ${first}`);
  const progress = setInterval(say, PROGRESS_MS);
  const deadline = started + numbers.minutes * 60_000;
  const well = await runAll(
    chunks(parts, first, count, numbers.devices),
    numbers.workers,
    deadline,
    (outcome) => {
      const total = totals.get(outcome.part)!;
      total.seeds++;
      for (const name of ["virtualMs", "entries", "operations", "tasks"] as const) {
        total[name] += outcome[name];
      }
    },
  );
  clearInterval(progress);
  say();
  if (well) console.log("no violation");
  return well ? 0 : 1;
}

Deno.exit(await main());
