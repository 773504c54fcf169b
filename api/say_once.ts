/** Keeps what is tried again and again from filling the log with the same line, on a device's SD card above all. */

/** Texts remembered: as many as managers that fail in turn, each in its own words. */
const MAX_REMEMBERED = 16;
/** Numbers but those of an IPv4 address, which say who is meant, not how often or how long. */
const NUMBERS = /(\d+\.\d+\.\d+\.\d+(?::\d+)?)|\d+(?:\.\d+)?/g;

/** `text` with its counts, times and amounts left out: what tells a new problem from the same one some time later. */
export function withoutNumbers(text: string): string {
  return text.replace(NUMBERS, (_, address?: string) => address ?? "#");
}

/** Remembers the texts that were said last. */
export class SayOnce {
  readonly #said = new Set<string>();

  /** True unless `text` is one of those said last, numbers aside; it is from now on. */
  isNew(text: string): boolean {
    const shape = withoutNumbers(text);
    if (this.#said.has(shape)) return false;
    for (const oldest of this.#said) {
      if (this.#said.size < MAX_REMEMBERED) break;
      this.#said.delete(oldest);
    }
    this.#said.add(shape);
    return true;
  }

  /** All is well again: what goes wrong from now on is new. */
  reset(): void {
    this.#said.clear();
  }
}
