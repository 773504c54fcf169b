/** What a history is made of. Times are milliseconds of one monotonic clock. */

/**
 * `ok`: the answer is known. `failed`: the operation certainly had no effect. `unknown`: it may have taken effect at any
 * time after its start, or never.
 */
export type Outcome = "ok" | "failed" | "unknown";

/** One call of a client. */
export interface Operation<Input, Output> {
  /** Operations of different keys do not influence each other. */
  key: string;
  client: number;
  input: Input;
  outcome: Outcome;
  /** Present if the outcome is `ok`. */
  output?: Output;
  /** When the client sent it. */
  start: number;
  /** When the client had the answer; of an unknown outcome: when it stopped waiting, which says nothing about the effect. */
  end: number;
}

/** What the operations mean, as a pure function. Values of `State` are never changed in place. */
export interface Model<Input, Output, State> {
  initial: State;
  /**
   * The state after an operation on `state`; undefined if it could not have had this output there. With an undefined
   * output: the state after its effect, undefined if it could have had none.
   */
  step(state: State, input: Input, output: Output | undefined): State | undefined;
  /** Equal texts for equal states. */
  fingerprint(state: State): string;
  /**
   * True if an operation with this output has left the state as it was, wherever it took place. With an undefined output:
   * true if it can have no effect, so that it says nothing.
   */
  isPassive(input: Input, output: Output | undefined): boolean;
  describe(input: Input, output: Output | undefined): string;
}

/** An operation under way. Exactly one of its methods is called, once. */
export interface PendingOperation<Output> {
  ok(output: Output): void;
  failed(): void;
  unknown(): void;
}

/** Collects operations as they happen. */
export class HistoryRecorder<Input, Output> {
  readonly #monotonic: () => number;
  readonly #operations: Operation<Input, Output>[] = [];

  constructor(monotonic: () => number) {
    this.#monotonic = monotonic;
  }

  /** Notes the start of a call. Until it ends its outcome is unknown. */
  begin(key: string, client: number, input: Input): PendingOperation<Output> {
    const start = this.#monotonic();
    const operation: Operation<Input, Output> = {
      key,
      client,
      input,
      outcome: "unknown",
      start,
      end: Infinity,
    };
    this.#operations.push(operation);
    const end = (outcome: Outcome) => {
      operation.end = this.#monotonic();
      operation.outcome = outcome;
    };
    return {
      ok: (output) => {
        end("ok");
        operation.output = output;
      },
      failed: () => end("failed"),
      unknown: () => end("unknown"),
    };
  }

  /** Everything so far, by start. */
  get operations(): readonly Operation<Input, Output>[] {
    return this.#operations;
  }
}
