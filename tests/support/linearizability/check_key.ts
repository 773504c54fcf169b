import { LinearizedSet } from "./linearized_set.ts";
import { Memo } from "./memo.ts";
import type { Model, Operation } from "./operation.ts";
import { isReturn, NONE, Timeline } from "./timeline.ts";

/** What the search found for one key. */
export interface KeyResult<Input, Output, State> {
  verdict: "linearizable" | "violation" | "undecided";
  /** Operations tried. */
  steps: number;
  /** The longest order that could be built: the whole one, unless there is a violation. */
  longest: { operation: Operation<Input, Output>; state: State }[];
  /** The completed operation that fits nowhere after `longest`. */
  stuckAt?: Operation<Input, Output>;
}

/** One operation of the order under construction. */
interface Frame<State> {
  operation: number;
  stateBefore: State;
  usedBefore: readonly number[];
}

/**
 * Searches an order of the operations of one key that the model allows and that respects time: an operation that ended
 * before another began comes before it. Wing and Gong's search, with Lowe's memo of (linearized set, state) pairs. Operations
 * of unknown outcome may be left out. Ends undecided after `maxSteps` operations tried.
 */
export function checkKey<Input, Output, State>(
  history: readonly Operation<Input, Output>[],
  model: Model<Input, Output, State>,
  maxSteps: number,
): KeyResult<Input, Output, State> {
  return new Search(history, model, maxSteps).run();
}

class Search<Input, Output, State> {
  readonly #timeline: Timeline<Input, Output>;
  readonly #model: Model<Input, Output, State>;
  readonly #maxSteps: number;
  readonly #set: LinearizedSet;
  readonly #memo = new Memo();
  /** The operations of unknown outcome that are part of the order, ascending. */
  #used: readonly number[] = [];
  readonly #stack: Frame<State>[] = [];
  #state: State;
  #remaining: number;
  #steps = 0;
  readonly #longest: number[] = [];
  /** How much of `#longest` the stack still agrees with. */
  #agreed = 0;
  #stuckAt = NONE;

  constructor(
    history: readonly Operation<Input, Output>[],
    model: Model<Input, Output, State>,
    maxSteps: number,
  ) {
    this.#timeline = new Timeline(history, model);
    this.#model = model;
    this.#maxSteps = maxSteps;
    this.#set = new LinearizedSet(this.#timeline.completed);
    this.#state = model.initial;
    this.#remaining = this.#timeline.completed;
  }

  run(): KeyResult<Input, Output, State> {
    const { next, operations } = this.#timeline;
    let entry = this.#advance();
    while (this.#remaining > 0) {
      if (this.#steps > this.#maxSteps) return this.#result("undecided");
      if (!isReturn(entry)) {
        entry = this.#tryNext(entry >> 1) ? this.#advance() : next[entry]!;
        continue;
      }
      // Whatever has not been placed by now would come too late for this return; only unknown effects may still help.
      if (this.#tryUnknown(entry, this.#timeline.nextUnknown[operations.length]!)) {
        entry = this.#advance();
        continue;
      }
      this.#noteStuck(entry >> 1);
      const resumed = this.#backtrack();
      if (resumed === undefined) return this.#result("violation");
      entry = resumed;
    }
    this.#keepLongest();
    return this.#result("linearizable");
  }

  /**
   * Places every operation that changes nothing and fits: what comes later fits as well without it, so no other place for it
   * need ever be tried. Returns the entry to go on with.
   */
  #advance(): number {
    const { next, head, passive } = this.#timeline;
    for (let entry = next[head]!; entry !== NONE && !isReturn(entry);) {
      const index = entry >> 1;
      const after = next[entry]!;
      // Once an operation is out, so is its return.
      entry = after === entry + 1 ? next[after]! : after;
      if (!passive[index] || this.#step(index) === undefined) {
        if (after === 2 * index + 1) break;
        continue;
      }
      this.#push(index, this.#state, this.#used);
      this.#set.add(index);
      this.#timeline.lift(index);
      this.#remaining--;
    }
    return next[head]!;
  }

  /** Places a completed operation next, if that is allowed and new. */
  #tryNext(index: number): boolean {
    if (this.#timeline.passive[index]) return false;
    const state = this.#step(index);
    if (state === undefined || !this.#enter(index, state)) return false;
    this.#timeline.lift(index);
    this.#remaining--;
    return true;
  }

  /** The state after an operation, undefined if it does not fit. */
  #step(index: number): State | undefined {
    const { input, output } = this.#timeline.operations[index]!;
    this.#steps++;
    return this.#model.step(this.#state, input, output);
  }

  /** Places the first that fits of the operations of unknown outcome from `index` on that began before `returning`. */
  #tryUnknown(returning: number, index: number): boolean {
    const { operations, nextUnknown } = this.#timeline;
    const limit = this.#timeline.timeOf(returning);
    for (; index !== NONE && operations[index]!.start <= limit; index = nextUnknown[index]!) {
      const state = this.#step(index);
      if (state === undefined || !this.#enter(index, state)) continue;
      this.#timeline.liftUnknown(index);
      return true;
    }
    return false;
  }

  /** Makes an operation the last of the order, unless the search has been at that point before. */
  #enter(index: number, state: State): boolean {
    const isUnknown = index >= this.#timeline.completed;
    const used = isUnknown ? [...this.#used, index].sort((a, b) => a - b) : this.#used;
    if (!isUnknown) this.#set.add(index);
    if (!this.#memo.enter(this.#set.name() + this.#model.fingerprint(state), used)) {
      if (!isUnknown) this.#set.remove(index);
      return false;
    }
    this.#push(index, state, used);
    return true;
  }

  #push(operation: number, state: State, used: readonly number[]): void {
    this.#stack.push({ operation, stateBefore: this.#state, usedBefore: this.#used });
    this.#state = state;
    this.#used = used;
  }

  /** Takes back the last operation and those before it until another can be tried; returns the entry to go on with. */
  #backtrack(): number | undefined {
    const { completed, passive, next, head, nextUnknown } = this.#timeline;
    for (let frame = this.#stack.pop(); frame !== undefined; frame = this.#stack.pop()) {
      const { operation, stateBefore, usedBefore } = frame;
      this.#agreed = Math.min(this.#agreed, this.#stack.length);
      this.#state = stateBefore;
      this.#used = usedBefore;
      if (operation < completed) {
        this.#set.remove(operation);
        this.#timeline.unlift(operation);
        this.#remaining++;
        if (passive[operation]) continue;
        return next[2 * operation]!;
      }
      this.#timeline.unliftUnknown(operation);
      let returning = next[head]!;
      while (!isReturn(returning)) returning = next[returning]!;
      if (this.#tryUnknown(returning, nextUnknown[operation]!)) return this.#advance();
    }
    return undefined;
  }

  #noteStuck(index: number): void {
    if (this.#stuckAt !== NONE && this.#stack.length <= this.#longest.length) return;
    this.#keepLongest();
    this.#stuckAt = index;
  }

  #keepLongest(): void {
    this.#longest.length = this.#agreed;
    for (const { operation } of this.#stack.slice(this.#agreed)) this.#longest.push(operation);
    this.#agreed = this.#longest.length;
  }

  #result(verdict: KeyResult<Input, Output, State>["verdict"]): KeyResult<Input, Output, State> {
    const { operations } = this.#timeline;
    let state = this.#model.initial;
    const longest = this.#longest.map((index) => {
      const operation = operations[index]!;
      state = this.#model.step(state, operation.input, operation.output)!;
      return { operation, state };
    });
    const stuck = verdict === "linearizable" ? undefined : operations[this.#stuckAt];
    return { verdict, steps: this.#steps, longest, ...(stuck && { stuckAt: stuck }) };
  }
}
