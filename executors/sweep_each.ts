/** Removes leftovers one by one, so that one that cannot be removed holds up no other. */

/** Calls `remove` for each of `ids` that `keep` does not want; resolves with those removed, or throws the first failure. */
export async function sweepEach(
  ids: Iterable<string>,
  keep: (id: string) => boolean,
  signal: AbortSignal,
  remove: (id: string) => Promise<void>,
): Promise<string[]> {
  const removed: string[] = [], failures: unknown[] = [];
  for (const id of ids) {
    signal.throwIfAborted();
    if (keep(id)) continue;
    await remove(id).then(() => removed.push(id), (error) => failures.push(error));
  }
  if (failures.length > 0) throw failures[0];
  return removed;
}
