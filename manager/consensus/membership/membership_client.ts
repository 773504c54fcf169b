/** How a manager asks for its own membership: whoever it knows leads it to the leader. */
import { type Clock, sleep } from "../../../api/clock.ts";
import { CoveyError, hasCode } from "../../../api/errors.ts";
import type { RaftMembershipResponse } from "../../../api/raft.ts";
import type { Dialer } from "../../../transport/mod.ts";

/** Longest wait for one answer: the leader dials back first, and may wait for an earlier change. */
const CALL_TIMEOUT_MS = 20_000;
/** Longest handshake. */
const DIAL_TIMEOUT_MS = 5_000;
/** Pause before everybody is asked again. */
const RETRY_MS = 200;
/** Managers that send each other the asker, before it starts over. */
const MAX_REDIRECTS = 4;

/** What a call for membership needs. */
export interface MembershipCall {
  dialer: Dialer;
  clock: Clock;
  /** Managers to ask, HOST:PORT. */
  addresses: () => string[];
  method: string;
  request: unknown;
  /** When to give up, milliseconds from now. */
  timeoutMs: number;
  signal?: AbortSignal;
}

/** Resolves once the leader has done it. Rejects with the last error when time is up, or at one that is not retryable. */
export async function callLeader(call: MembershipCall): Promise<void> {
  const { clock, signal, timeoutMs, addresses } = call;
  const deadline = clock.monotonic() + timeoutMs;
  let failure = new CoveyError("unavailable", "Cannot reach a manager: no address is known");
  do {
    for (const address of addresses()) {
      try {
        return await follow(call, address);
      } catch (thrown) {
        failure = CoveyError.from(thrown);
        // The request may be made twice without harm, so it is repeated where its outcome is unknown.
        if (!failure.retryable && !hasCode(failure, "deadline_exceeded", "unknown")) throw failure;
      }
    }
    await sleep(clock, RETRY_MS, signal);
  } while (clock.monotonic() < deadline);
  throw failure;
}

async function follow(call: MembershipCall, first: string): Promise<void> {
  let address = first;
  for (let hop = 0; hop < MAX_REDIRECTS; hop++) {
    const { Leader } = await ask(call, address);
    if (Leader === undefined) return;
    address = Leader.Addr;
  }
  throw new CoveyError("unavailable", "Cannot find the leader: it is changing");
}

async function ask(
  { dialer, method, request, signal }: MembershipCall,
  address: string,
): Promise<RaftMembershipResponse> {
  const more = signal ? { signal } : {};
  const connection = await dialer.dial(address, { timeoutMs: DIAL_TIMEOUT_MS, ...more });
  try {
    return await connection.call<RaftMembershipResponse>(method, request, {
      timeoutMs: CALL_TIMEOUT_MS,
      ...more,
    });
  } finally {
    connection.close();
  }
}
