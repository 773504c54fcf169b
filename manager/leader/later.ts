/** Objects to be looked at again a little later, because what they wait for says nothing when it comes. */
import type { CancelTimer, Clock } from "../../api/clock.ts";

/** Between two looks: they cost a look at all nodes, and what is waited for takes seconds. */
const PAUSE_MS = 1_000;

/** Gives what was added back after a pause, all at once. */
export class Later {
  readonly #ids = new Set<string>();
  #cancel: CancelTimer | undefined;

  constructor(readonly clock: Clock, readonly due: (ids: readonly string[]) => void) {}

  add(id: string): void {
    this.#ids.add(id);
    this.#cancel ??= this.clock.setTimer(PAUSE_MS, () => {
      const ids = [...this.#ids];
      this.stop();
      this.due(ids);
    });
  }

  /** Forgets everything. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#ids.clear();
  }
}
