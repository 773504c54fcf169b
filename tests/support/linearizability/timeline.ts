import type { Model, Operation } from "./operation.ts";

/** End of a list. */
export const NONE = -1;

/**
 * The operations of one key that bind, with their calls and returns as one list in time order. Completed operations come
 * first in `operations` (index below `completed`), then those of unknown outcome, whose calls have a list of their own.
 *
 * Entry 2i is the call of operation i, 2i+1 its return; entry `head` precedes all.
 */
export class Timeline<Input, Output> {
  readonly operations: readonly Operation<Input, Output>[];
  readonly completed: number;
  /** Of each completed operation: whether it changed nothing. */
  readonly passive: readonly boolean[];
  readonly head: number;
  /** Next and previous entry among calls and returns of completed operations. */
  readonly next: Int32Array;
  readonly #previous: Int32Array;
  /** Next and previous operation among those of unknown outcome, by call; `operations.length` precedes all. */
  readonly nextUnknown: Int32Array;
  readonly #previousUnknown: Int32Array;

  constructor(history: readonly Operation<Input, Output>[], model: Model<Input, Output, unknown>) {
    const byStart = [...history].sort((a, b) => a.start - b.start);
    const completed = byStart.filter((operation) => operation.outcome === "ok");
    const unknown = byStart.filter(({ outcome, input }) =>
      outcome === "unknown" && !model.isPassive(input, undefined)
    );
    this.operations = [...completed, ...unknown];
    this.completed = completed.length;
    this.passive = completed.map(({ input, output }) => model.isPassive(input, output));
    const count = this.operations.length;
    this.head = 2 * count;
    [this.next, this.#previous] = linked(this.#entriesInOrder(), this.head);
    const unknownIndexes = unknown.map((_, i) => completed.length + i);
    [this.nextUnknown, this.#previousUnknown] = linked(unknownIndexes, count);
  }

  /** When an entry happened. */
  timeOf(entry: number): number {
    const { start, end } = this.operations[entry >> 1]!;
    return isReturn(entry) ? end : start;
  }

  /** Takes a completed operation out. */
  lift(operation: number): void {
    unlink(this.next, this.#previous, 2 * operation);
    unlink(this.next, this.#previous, 2 * operation + 1);
  }

  /** Puts back the completed operation that was taken out last. */
  unlift(operation: number): void {
    relink(this.next, this.#previous, 2 * operation + 1);
    relink(this.next, this.#previous, 2 * operation);
  }

  liftUnknown(operation: number): void {
    unlink(this.nextUnknown, this.#previousUnknown, operation);
  }

  unliftUnknown(operation: number): void {
    relink(this.nextUnknown, this.#previousUnknown, operation);
  }

  /** At equal times calls come first, which lets the operations overlap. */
  #entriesInOrder(): number[] {
    const entries = Array.from({ length: 2 * this.completed }, (_, entry) => entry);
    return entries.sort((a, b) => this.timeOf(a) - this.timeOf(b) || (a & 1) - (b & 1) || a - b);
  }
}

/** True for the return of an operation. */
export function isReturn(entry: number): boolean {
  return (entry & 1) === 1;
}

function linked(order: readonly number[], head: number): [Int32Array, Int32Array] {
  const next = new Int32Array(head + 1).fill(NONE);
  const previous = new Int32Array(head + 1).fill(NONE);
  let last = head;
  for (const entry of order) {
    next[last] = entry;
    previous[entry] = last;
    last = entry;
  }
  return [next, previous];
}

function unlink(next: Int32Array, previous: Int32Array, entry: number): void {
  const before = previous[entry]!, after = next[entry]!;
  next[before] = after;
  if (after !== NONE) previous[after] = before;
}

function relink(next: Int32Array, previous: Int32Array, entry: number): void {
  const before = previous[entry]!, after = next[entry]!;
  next[before] = entry;
  if (after !== NONE) previous[after] = entry;
}
