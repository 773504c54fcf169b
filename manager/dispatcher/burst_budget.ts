/** Tells a burst that may go out at once from load that is better batched. */
import type { Clock } from "../../api/clock.ts";
import { TokenBucket } from "../../api/rate_limiter.ts";

/** Time until a unit is given back, which is also how long a change waits for company under load (SwarmKit: 100 ms). */
export const BATCH_DELAY_MS = 100;

/** Units at hand after a quiet time: a lone change, or the few steps of one task's replacement, go out undelayed. */
const BURST = 8;

/** A budget of `BURST` units, one more per `BATCH_DELAY_MS`. */
export function burstBudget(clock: Clock): TokenBucket {
  return new TokenBucket({ clock, burst: BURST, perSecond: 1000 / BATCH_DELAY_MS });
}
