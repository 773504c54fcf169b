/** Measures how the device is, from time to time; holds what it needs to compare in memory alone. */
import { type Clock, sleep } from "../api/clock.ts";
import { DAY_MS } from "../api/duration.ts";
import { getLogger } from "../api/log.ts";
import { METRICS_PERIOD_MS, type NodeMetrics } from "../api/node_metrics.ts";
import { can, type Counters, type Executor } from "../executors/executor.ts";

/** Looks that are remembered: those of a day. */
const MAX_LOOKS = DAY_MS / METRICS_PERIOD_MS + 1;
const SECTOR_BYTES = 512;
/** Bits of the firmware's word: too little voltage; held back by voltage, by frequency, by heat; the same since the boot. */
const UNDER_VOLTAGE = 1, HELD_BACK = 0b1110, SINCE_BOOT = 16;

const log = getLogger(["covey", "agent"]);

interface Look {
  at: number;
  counters: Counters;
  /** Bytes on the wire since the agent's start, by what they were for. */
  traffic?: Readonly<Record<string, number>>;
}

/** What the looks say; `looks` are in order, the newest last. */
export function metricsOf(looks: readonly Look[], clockMs: number): NodeMetrics {
  const { at, counters } = looks.at(-1)!, before = looks.at(-2)?.counters, [oldest] = looks;
  const metrics: NodeMetrics = { Clock: clockMs };
  const { cpu, memory, disk, temperature, throttled, written } = counters;
  const ticks = cpu && cpu[1] - (before?.cpu?.[1] ?? 0);
  if (cpu && ticks! > 0) {
    metrics.CPU = Math.min(1, Math.max(0, (cpu[0] - (before?.cpu?.[0] ?? 0)) / ticks!));
    metrics.CPU = Math.round(metrics.CPU * 1000) / 1000;
  }
  if (memory) Object.assign(metrics, used("Memory", memory));
  if (disk) Object.assign(metrics, used("Disk", disk));
  if (temperature !== undefined) metrics.Temperature = temperature / 1000;
  if (throttled !== undefined) {
    metrics.UnderVoltage = (throttled & UNDER_VOLTAGE) !== 0;
    metrics.UnderVoltageSeen = (throttled >> SINCE_BOOT & UNDER_VOLTAGE) !== 0;
    metrics.Throttled = (throttled & HELD_BACK) !== 0;
    metrics.ThrottledSeen = (throttled >> SINCE_BOOT & HELD_BACK) !== 0;
  }
  const first = oldest!.counters.written, tookMs = at - oldest!.at;
  if (written !== undefined && first !== undefined && tookMs > 0 && written >= first) {
    metrics.BytesWrittenPerDay = Math.round((written - first) * SECTOR_BYTES * DAY_MS / tookMs);
  }
  const traffic = looks.at(-1)!.traffic;
  if (traffic && tookMs > 0) {
    const perDay = (name: string) => (traffic[name]! - (oldest!.traffic?.[name] ?? 0)) * DAY_MS / tookMs;
    metrics.TrafficPerDay = Object.fromEntries(
      Object.keys(traffic).map((name) => [name, Math.round(perDay(name))]),
    );
  }
  return metrics;
}

function used(what: "Memory" | "Disk", [total, available]: readonly [number, number]): NodeMetrics {
  return { [`${what}UsedBytes`]: (total - available) * 1024, [`${what}TotalBytes`]: total * 1024 };
}

/** Measures while it runs. */
export class Meter {
  readonly #clock: Clock;
  readonly #deviceClock: () => number;
  readonly #traffic: () => Readonly<Record<string, number>>;
  readonly #executors: readonly Executor[];
  readonly #looks: Look[] = [];
  readonly #abort = new AbortController();
  #latest: NodeMetrics | undefined;
  #running: Promise<void> | undefined;

  /** `deviceClock` is the machine's own, whatever the cluster's time is. */
  constructor(
    clock: Clock,
    executors: readonly Executor[],
    deviceClock: () => number,
    traffic: () => Readonly<Record<string, number>>,
  ) {
    this.#traffic = traffic;
    this.#clock = clock;
    this.#executors = executors;
    this.#deviceClock = deviceClock;
  }

  /** What was measured last, with the device's time now; undefined if nothing was. */
  get latest(): NodeMetrics | undefined {
    return this.#latest && { ...this.#latest, Clock: this.#deviceClock() };
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    while (!signal.aborted) {
      await this.#look(signal).catch((error) => {
        if (!signal.aborted) log.debug("cannot measure how the device is: {error}", { error });
      });
      await sleep(this.#clock, METRICS_PERIOD_MS, signal).catch(() => {});
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    for (const executor of this.#executors) {
      if (!can(executor, "meter")) continue;
      const counters = await executor.measure(signal);
      this.#looks.push({ at: this.#clock.monotonic(), counters, traffic: this.#traffic() });
      if (this.#looks.length > MAX_LOOKS) this.#looks.shift();
      this.#latest = metricsOf(this.#looks, this.#deviceClock());
      return;
    }
  }
}
