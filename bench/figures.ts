/** How benchmarks show their figures. */

/** The middle value; the mean of the two middle ones where there is no single one. 0 of nothing. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b), middle = sorted.length >> 1;
  if (sorted.length === 0) return 0;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** `a` to `b` as a multiple: `2.31x`. */
export function ratio(a: number, b: number): string {
  return b === 0 ? "no figure" : `${(a / b).toFixed(2)}x`;
}
