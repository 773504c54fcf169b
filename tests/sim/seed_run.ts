/** One seed of one of the simulations, and what came of it. */
import { ClusterSimulation } from "./cluster/simulation.ts";
import type { World } from "./cluster/world.ts";
import { FleetSimulation } from "./fleet/simulation.ts";
import { Violation } from "./raft/checker.ts";
import { Simulation } from "./raft/simulation.ts";

/**
 * `raft`: the pure core with its messages lost, doubled and reordered. `cluster`: whole managers and agents around it.
 * `fleet`: what leads, with many devices, most of which are there.
 */
export type Part = "raft" | "cluster" | "fleet";

/** Seeds to run: `count` of them from `from` on. */
export interface Chunk {
  part: Part;
  from: number;
  count: number;
  /** Of each fleet. */
  devices: number;
}

/** What one seed did. */
export interface SeedOutcome {
  part: Part;
  seed: number;
  virtualMs: number;
  /** Entries committed. */
  entries: number;
  /** Writes acknowledged, operations of clients, or tasks that rollouts replaced. */
  operations: number;
  /** Programs started on devices. */
  tasks: number;
  violation?: SeedViolation;
}

/** What was violated, and the last events before. */
export interface SeedViolation {
  rule: string;
  text: string;
  events: string[];
}

/** Between two looks whether the simulated time goes on. */
const LOOK_MS = 5_000;

/**
 * Runs one seed. Never rejects: whatever is thrown is the outcome. `goesOn` is told of the simulated time from time to time,
 * for as long as that goes on.
 */
export async function runSeed(
  part: Part,
  seed: number,
  devices: number,
  goesOn: (nowMs: number) => void = () => {},
): Promise<SeedOutcome> {
  if (part === "raft") return runCore(seed);
  if (part === "cluster") {
    const simulation = new ClusterSimulation(seed);
    return await runWorld(part, seed, simulation.world, goesOn, () => simulation.run());
  }
  const simulation = new FleetSimulation(seed, devices);
  return await runWorld(part, seed, simulation.world, goesOn, async () => {
    const { replaced, started, ...rest } = await simulation.run();
    return { ...rest, operations: replaced, tasks: started };
  });
}

function runCore(seed: number): SeedOutcome {
  const nothing = { part: "raft" as const, seed, virtualMs: 0, entries: 0, operations: 0, tasks: 0 };
  try {
    const { virtualMs, committed, acknowledged } = new Simulation(seed).run();
    return { ...nothing, virtualMs, entries: committed, operations: acknowledged };
  } catch (thrown) {
    return { ...nothing, violation: violationOf(thrown, []) };
  }
}

async function runWorld(
  part: Part,
  seed: number,
  world: World,
  goesOn: (nowMs: number) => void,
  run: () => Promise<Pick<SeedOutcome, "virtualMs" | "entries" | "operations" | "tasks">>,
): Promise<SeedOutcome> {
  const nothing = { part, seed, virtualMs: 0, entries: 0, operations: 0, tasks: 0 };
  // What nobody handles ends a program.
  const onUnhandled = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    world.fail(new Violation("CRASH", `unhandled rejection: ${event.reason?.stack ?? event.reason}`));
  };
  globalThis.addEventListener("unhandledrejection", onUnhandled);
  let seenMs = world.now;
  const look = setInterval(() => {
    if (world.now > seenMs) goesOn(seenMs = world.now);
  }, LOOK_MS);
  try {
    const { virtualMs, entries, operations, tasks } = await run();
    return { ...nothing, virtualMs, entries, operations, tasks };
  } catch (thrown) {
    return { ...nothing, virtualMs: world.now, violation: violationOf(thrown, world.log.lines) };
  } finally {
    clearInterval(look);
    globalThis.removeEventListener("unhandledrejection", onUnhandled);
  }
}

function violationOf(thrown: unknown, events: string[]): SeedViolation {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  const cause = error.cause instanceof Error ? `\ncaused by ${error.cause.stack}` : "";
  return {
    rule: error instanceof Violation ? error.rule : "CRASH",
    text: `${error.stack ?? error.message}${cause}`,
    events,
  };
}
