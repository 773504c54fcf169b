/** A wake-up call for one waiter; a call that comes while nobody waits is remembered. */
export class Wakeup {
  #woken = false;
  #resolve: (() => void) | undefined;

  /** Resolves the present or next `wait`. */
  wake(): void {
    this.#woken = true;
    this.#resolve?.();
  }

  /** Resolves at the next `wake`, at once if there was one since the last `wait`. */
  async wait(): Promise<void> {
    if (!this.#woken) await new Promise<void>((resolve) => this.#resolve = resolve);
    this.#resolve = undefined;
    this.#woken = false;
  }
}
