/** Waiting that ends: by time, by the caller's signal, or by what is waited for. */
import type { Clock } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";

/** How long to wait, and who may end it. */
export interface Patience {
  clock: Clock;
  withinMs: number;
  signal?: AbortSignal | undefined;
}

/** The error of a caller that left. */
export function canceled(signal: AbortSignal): CoveyError {
  if (signal.reason instanceof CoveyError) return signal.reason;
  return new CoveyError("canceled", "Cannot go on: the caller left", { cause: signal.reason });
}

/** As `promise`, or rejects with `deadline_exceeded` after `withinMs`, or with the signal's reason. Timers are released. */
export function within<T>(promise: Promise<T>, { clock, withinMs, signal }: Patience): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(canceled(signal));
    const settle = (run: () => void) => {
      cancelTimer();
      signal?.removeEventListener("abort", onAbort);
      run();
    };
    const onAbort = () => settle(() => reject(canceled(signal!)));
    const cancelTimer = clock.setTimer(
      withinMs,
      () => settle(() => reject(new CoveyError("deadline_exceeded", `no answer within ${withinMs} ms`))),
    );
    signal?.addEventListener("abort", onAbort, { once: true });
    promise.then((value) => settle(() => resolve(value)), (error) => settle(() => reject(error)));
  });
}
