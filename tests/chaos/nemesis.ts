import { sleep, systemClock } from "../../api/clock.ts";
import type { SeededRandom } from "../sim/raft/random.ts";
import { drawFault, type Fault, type FaultKind } from "./faults.ts";
import type { LeaderWatch } from "./leader_watch.ts";
import type { Managers } from "./managers.ts";

/** How long a manager may take to be back after a fault before the next one comes all the same. */
const RECOVERY_LIMIT_MS = 10_000;

/** A fault that was done. */
export interface DoneFault {
  kind: FaultKind;
  victims: number[];
  /** Who led then, as far as known. */
  leader: number | undefined;
  /** Of the monotonic clock, ms. */
  start: number;
}

/** Does one fault after another to managers. */
export class Nemesis {
  readonly done: DoneFault[] = [];
  readonly #managers: Managers;
  readonly #watch: LeaderWatch;
  readonly #random: SeededRandom;
  readonly #log: (line: string) => void;

  constructor(managers: Managers, watch: LeaderWatch, random: SeededRandom, log: (line: string) => void) {
    this.#managers = managers;
    this.#watch = watch;
    this.#random = random;
    this.#log = log;
  }

  /** Goes on until `signal` aborts, then heals what it has done. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const fault = drawFault(this.#random, this.#managers.count);
      const victims = this.#victims(fault);
      const { kind, durationMs } = fault;
      this.#log(`${kind} ${victims.join(" ")} for ${durationMs} ms (leader ${this.#watch.leader})`);
      this.done.push({ kind, victims, leader: this.#watch.leader, start: performance.now() });
      await this.#strike(fault, victims);
      await sleep(systemClock, fault.durationMs, signal).catch(() => {});
      this.#heal(fault, victims);
      await this.#recovered(victims, signal);
      await sleep(systemClock, fault.quietMs, signal).catch(() => {});
    }
  }

  #victims({ victims }: Fault): number[] {
    const leader = this.#watch.leader ?? 0;
    const others = Array.from({ length: this.#managers.count }, (_, index) => index);
    const leaderFirst = [leader, ...others.filter((index) => index !== leader)];
    return victims.map((place) => leaderFirst[place]!);
  }

  async #strike({ kind }: Fault, victims: number[]): Promise<void> {
    const { network } = this.#managers;
    if (kind === "cut between") network.cutBetween(victims[0]!, victims[1]!);
    if (kind === "kill" || kind === "kill all") {
      await Promise.all(victims.map((victim) => this.#managers.kill(victim)));
    }
    for (const victim of victims) {
      if (kind === "pause") this.#managers.pause(victim);
      if (kind === "cut") network.cut(victim);
      if (kind === "cut in") network.cutOneWay(victim, "in");
      if (kind === "cut out") network.cutOneWay(victim, "out");
    }
  }

  #heal({ kind }: Fault, victims: number[]): void {
    for (const victim of victims) {
      if (kind === "kill" || kind === "kill all") this.#managers.start(victim);
      else if (kind === "pause") this.#managers.resume(victim);
      else this.#managers.network.heal(victim);
    }
  }

  async #recovered(victims: number[], signal: AbortSignal): Promise<void> {
    const limit = performance.now() + RECOVERY_LIMIT_MS;
    for (const victim of victims) {
      while (!signal.aborted && performance.now() < limit && !await this.#managers.answers(victim)) {
        await sleep(systemClock, 50);
      }
    }
  }
}
