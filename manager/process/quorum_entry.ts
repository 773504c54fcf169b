/**
 * How a new manager gets into the quorum, or certainly not. Once it has asked, it may vote at any moment, known to it or
 * not; a vote that is counted on must not be wiped, so whoever gives up leaves first. Where even that is in doubt, the
 * member stays and goes on asking.
 */
import { Backoff, type BackoffLimits } from "../../api/backoff.ts";
import { type Clock, sleep } from "../../api/clock.ts";
import { CoveyError } from "../../api/errors.ts";
import type { RaftMember } from "../consensus/member/mod.ts";

/** Pauses before a member that could not get in asks again: each attempt makes the leader dial back. */
const RETRY_PAUSE: BackoffLimits = { minMs: 1_000, maxMs: 30_000 };

/** A running member that is to join. */
export type Entrant = Pick<RaftMember, "join" | "leave" | "isVoter">;

/** `in`: it votes. `out`: the cluster has no trace of it. `open`: it may or may not vote. */
export type QuorumEntry = { is: "in" } | { is: "out" | "open"; failure: CoveyError };

/** Asks the managers at the addresses `through`, and undoes that if it fails. Rejects only with the signal's reason. */
export async function enterQuorum(
  member: Entrant,
  through: readonly string[],
  signal: AbortSignal,
): Promise<QuorumEntry> {
  try {
    await member.join(through, signal);
    return { is: "in" };
  } catch (thrown) {
    signal.throwIfAborted();
    const failure = CoveyError.from(thrown);
    const is = await withdraw(member, through, signal) ? "out" : "open";
    signal.throwIfAborted();
    return { is, failure };
  }
}

/** Has the cluster forget a node that never came; false if that cannot be told for certain. Takes a bounded time. */
export async function withdraw(
  member: Pick<RaftMember, "leave">,
  through: readonly string[],
  signal?: AbortSignal,
): Promise<boolean> {
  try {
    await member.leave({ through, withdraw: true, ...(signal && { signal }) });
    return true;
  } catch (thrown) {
    // The answer to an earlier try may have been lost: the cluster does not know the node any more.
    return CoveyError.from(thrown).reason === "not_in_cluster";
  }
}

/** Asks again and again until the member votes; `onFailure` hears of each failure. Rejects with the signal's reason. */
export async function keepEntering(
  member: Entrant,
  through: readonly string[],
  { clock, signal, onFailure }: { clock: Clock; signal: AbortSignal; onFailure: (why: string) => void },
): Promise<void> {
  const backoff = new Backoff(RETRY_PAUSE);
  while (!member.isVoter) {
    try {
      await member.join(through, signal);
    } catch (thrown) {
      signal.throwIfAborted();
      onFailure(CoveyError.from(thrown).message);
      await sleep(clock, backoff.next(), signal);
    }
  }
}
