/** Keeps what is tried again and again from filling the log with the same line. */

/** Remembers the text that was said last. */
export class SayOnce {
  #said = "";

  /** True if `text` is not what was said last; it is from now on. */
  isNew(text: string): boolean {
    if (text === this.#said) return false;
    this.#said = text;
    return true;
  }
}
