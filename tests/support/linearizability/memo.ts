/**
 * The points that the search has been at. A point is a set of completed operations with the state they led to, and the
 * operations of unknown outcome used up on the way: whoever has used up more can do no better from there.
 */
export class Memo {
  /** For each point the smallest sets of used-up operations, each in ascending order. */
  readonly #seen = new Map<string, (readonly number[])[]>();

  /** Notes a point; false if the search has been there with no more operations used up. */
  enter(point: string, used: readonly number[]): boolean {
    const before = this.#seen.get(point);
    if (before === undefined) {
      this.#seen.set(point, [used]);
      return true;
    }
    if (before.some((other) => contains(used, other))) return false;
    this.#seen.set(point, [...before.filter((other) => !contains(other, used)), used]);
    return true;
  }
}

/** Whether `all`, ascending, contains each of `some`, ascending. */
function contains(all: readonly number[], some: readonly number[]): boolean {
  if (some.length > all.length) return false;
  let at = 0;
  for (const wanted of some) {
    while (at < all.length && all[at]! < wanted) at++;
    if (all[at] !== wanted) return false;
  }
  return true;
}
