import { sleep, systemClock } from "../../api/clock.ts";
import { SeededRandom } from "../sim/raft/random.ts";
import { checkLinearizability, type CheckResult } from "../support/linearizability/mod.ts";
import { LeaderWatch } from "./leader_watch.ts";
import { Managers } from "./managers.ts";
import { type DoneFault, Nemesis } from "./nemesis.ts";
import { PrivateNetwork } from "./private_network.ts";
import {
  isAcknowledgedWrite,
  type RegisterInput,
  registerModel,
  type RegisterOperation,
  type RegisterOutput,
} from "./register.ts";
import { Workload } from "./workload.ts";

/** Longest time from healing until every manager answers every read. */
const RECOVERY_LIMIT_MS = 60_000;

/** What a run is made of. */
export interface ChaosOptions {
  managers: number;
  clients: number;
  seed: number;
  /** Time of faults. */
  durationMs: number;
  /** Holds the managers' state and logs. */
  folder: string;
  log: (line: string) => void;
  /** Ends the run early; what has been seen so far is still checked. */
  signal: AbortSignal;
}

/** A time without an acknowledged write, and the fault that came last before its end. */
export interface Gap {
  durationMs: number;
  fault: DoneFault | undefined;
}

/** What a run has shown. */
export interface ChaosReport {
  operations: readonly RegisterOperation[];
  /** How often operations failed or stayed unknown, by reason. */
  reasons: ReadonlyMap<string, number>;
  faults: readonly DoneFault[];
  leaderChanges: number;
  /** The longest time without an acknowledged write for each kind of fault, longest first. */
  gaps: Gap[];
  /** Managers that ended by themselves, and whatever else kept the cluster from recovering. */
  problems: string[];
  check: CheckResult<RegisterInput, RegisterOutput, unknown>;
}

/** Runs managers under faults and load, heals them, reads everything, and judges. Leaves no process and no namespace. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const network = new PrivateNetwork(options.managers);
  const managers = new Managers(network, options.managers, options.folder);
  try {
    await managers.startAll();
    options.log(`${options.managers} managers are up`);
    return await torment(managers, options);
  } finally {
    await managers.killAll();
    network.remove();
  }
}

async function torment(managers: Managers, options: ChaosOptions): Promise<ChaosReport> {
  const { seed, clients, log } = options;
  const watch = new LeaderWatch(managers);
  const workload = new Workload(managers, seed);
  const nemesis = new Nemesis(managers, watch, new SeededRandom(seed), log);
  const stopLoad = new AbortController();
  const problems: string[] = [];
  const start = performance.now();
  const load = workload.run(clients, stopLoad.signal);
  let end = start;
  try {
    await nemesis.run(AbortSignal.any([options.signal, AbortSignal.timeout(options.durationMs)]));
    end = performance.now();
    log("healed");
    await managers.waitUntil("every manager answers", () => allAnswer(managers));
    await sleep(systemClock, 1000);
  } catch (thrown) {
    problems.push((thrown as Error).message);
  }
  stopLoad.abort();
  await load;
  await workload.readAll(clients, RECOVERY_LIMIT_MS).catch((error: Error) => problems.push(error.message));
  await watch.stop();
  const { operations } = workload.history;
  log(`checking ${operations.length} operations`);
  return {
    operations,
    reasons: workload.reasons,
    faults: nemesis.done,
    leaderChanges: watch.changes,
    gaps: longestGaps(operations, start, end, nemesis.done),
    problems: [...new Set([...managers.crashes, ...problems, ...unexpected(workload.reasons)])],
    check: checkLinearizability(operations, registerModel),
  };
}

async function allAnswer(managers: Managers): Promise<boolean> {
  for (let index = 0; index < managers.count; index++) {
    if (!await managers.answers(index)) return false;
  }
  return true;
}

function longestGaps(
  operations: readonly RegisterOperation[],
  start: number,
  end: number,
  faults: readonly DoneFault[],
): Gap[] {
  const times = operations.filter(isAcknowledgedWrite).map((operation) => operation.end);
  const inside = times.filter((time) => time > start && time < end).sort((a, b) => a - b);
  const gaps = [...inside, end].map((time, index): Gap => ({
    durationMs: time - (inside[index - 1] ?? start),
    fault: faults.findLast((fault) => fault.start < time),
  }));
  gaps.sort((a, b) => b.durationMs - a.durationMs);
  return [...new Set(gaps.map(({ fault }) => fault?.kind))].map((kind) =>
    gaps.find(({ fault }) => fault?.kind === kind)!
  );
}

function unexpected(reasons: ReadonlyMap<string, number>): string[] {
  return [...reasons.keys()].filter((reason) => reason.startsWith("unexpected: "));
}
