/** A broken invariant of the Raft core: a bug, a damaged log or a caller that broke its duties. The node must stop. */
export class RaftInvariantError extends Error {
  override readonly name = "RaftInvariantError";
}

/**
 * Asserts what must hold at all times; assertions stay on in production.
 *
 * @param a a value that helps to understand the failure, put into the message
 * @param b another one
 * @throws {RaftInvariantError} if `ok` is false
 */
export function invariant(ok: boolean, rule: string, a?: unknown, b?: unknown): asserts ok {
  if (ok) return;
  let message = `Cannot continue: broken Raft invariant: ${rule}`;
  if (a !== undefined) message += `, current value is ${a}`;
  if (b !== undefined) message += ` against ${b}`;
  throw new RaftInvariantError(message);
}
