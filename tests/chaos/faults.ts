import type { SeededRandom } from "../sim/raft/random.ts";

/** What can happen to managers. */
export type FaultKind =
  | "kill"
  | "pause"
  | "cut"
  | "cut in"
  | "cut out"
  | "cut between"
  | "kill all";

/** One fault. `victims` are places in a list of managers that has the leader first. */
export interface Fault {
  kind: FaultKind;
  victims: number[];
  durationMs: number;
  /** Time without a fault that follows. */
  quietMs: number;
}

const SHORTEST_MS = 300;
const LONGEST_MS = 5_000;
const LONGEST_QUIET_MS = 3_000;

/** With one manager the network does not matter; all at once is rare. */
const KINDS_ALONE: readonly FaultKind[] = ["kill", "kill", "pause"];
const KINDS: readonly FaultKind[] = [
  ...["kill", "kill", "kill", "pause", "pause", "pause", "cut", "cut", "cut"] as const,
  ...["cut in", "cut out", "cut between", "kill all"] as const,
];

/** Draws a fault that leaves a majority alone, except for `kill all`. Half of the time the leader is among the victims. */
export function drawFault(random: SeededRandom, managers: number): Fault {
  const kind = random.pick(managers === 1 ? KINDS_ALONE : KINDS);
  const most = Math.max(1, Math.floor((managers - 1) / 2));
  const count = kind === "kill all" ? managers : kind === "cut between" ? 2 : random.between(1, most);
  const followers = random.shuffled(Array.from({ length: managers - 1 }, (_, index) => index + 1));
  const order = managers === 1 || random.chance(0.5) ? [0, ...followers] : [...followers, 0];
  return {
    kind,
    victims: order.slice(0, count),
    durationMs: random.between(SHORTEST_MS, LONGEST_MS),
    quietMs: random.between(SHORTEST_MS, LONGEST_QUIET_MS),
  };
}
