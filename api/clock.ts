/** Time as it is handed to every component, so that tests and the simulator can own it. */

/** Cancels a timer; calling it again, or after the timer fired, does nothing. */
export type CancelTimer = () => void;

/** A source of time. All durations are milliseconds. */
export interface Clock {
  /** Wall clock, milliseconds since 1970. May jump. */
  now(): number;
  /** Milliseconds that never jump; only differences mean anything. */
  monotonic(): number;
  /** Runs `run` once after `delayMs` (at least 0). The timer keeps the process alive. */
  setTimer(delayMs: number, run: () => void): CancelTimer;
}

/** The longest delay a JavaScript timer takes, about 24.8 days; longer ones fire at once, so they are capped. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** The machine's own time. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimer(delayMs, run) {
    const timer = setTimeout(run, Math.min(Math.max(0, delayMs), MAX_TIMER_MS));
    return () => clearTimeout(timer);
  },
};

/** Resolves after `delayMs`, or rejects with the signal's reason as soon as `signal` aborts. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => {
      cancel();
      reject(signal?.reason);
    };
    const cancel = clock.setTimer(delayMs, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/** The time shown last. Thousands of objects are stamped in one millisecond, and then have one string together. */
let shown = { at: NaN, text: "" };

/** `now()` as the API shows times: RFC 3339 in UTC. */
export function timestamp(clock: Clock): string {
  const at = clock.now();
  if (at !== shown.at) shown = { at, text: new Date(at).toISOString() };
  return shown.text;
}
