interface Event {
  at: number;
  order: number;
  /** Undefined once it was called off. */
  run: (() => void) | undefined;
}

function before(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** Virtual time in milliseconds: a binary heap of what is going to happen. */
export class EventQueue {
  #heap: Event[] = [];
  #order = 0;
  #now = 0;

  get now(): number {
    return this.#now;
  }

  /** Runs `run` in `delayMs`. Events of the same moment keep their order. */
  after(delayMs: number, run: () => void): void {
    this.#push({ at: this.#now + delayMs, order: this.#order++, run });
  }

  /** As {@linkcode after}; returns how to call it off, which may be done at any time. */
  timer(delayMs: number, run: () => void): () => void {
    const event: Event = { at: this.#now + delayMs, order: this.#order++, run };
    this.#push(event);
    return () => event.run = undefined;
  }

  /** Moves on to the next event up to `end` and returns what it runs; undefined, and at `end`, if there is none. */
  next(end: number): (() => void) | undefined {
    while (this.#heap.length > 0 && this.#heap[0]!.at <= end) {
      const { at, run } = this.#take();
      if (run === undefined) continue;
      this.#now = at;
      return run;
    }
    this.#now = Math.max(this.#now, end);
    return undefined;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(event, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  /** Runs everything up to `end`, or until `done` says so. */
  runUntil(end: number, done: () => boolean = () => false): void {
    while (this.#heap.length > 0 && this.#heap[0]!.at <= end && !done()) {
      const event = this.#take();
      this.#now = event.at;
      event.run?.();
    }
    if (!done()) this.#now = Math.max(this.#now, end);
  }

  #take(): Event {
    const heap = this.#heap;
    const first = heap[0]!;
    const last = heap.pop()!;
    if (heap.length === 0) return first;
    let at = 0;
    while (true) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}
