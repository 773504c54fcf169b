import { crc32 } from "node:zlib";

/** Lines that a report shows. */
const KEPT_LINES = 60;

/** What happened in a run: the last lines of it, and a hash of all. */
export class EventLog {
  readonly #now: () => number;
  readonly #last: string[] = [];
  #hash = 0;
  #count = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Notes something that both of two equal runs must do. */
  note(text: string): void {
    const line = `${this.#now().toFixed(3)} ${text}`;
    this.#hash = crc32(line, this.#hash);
    this.#last[this.#count++ % KEPT_LINES] = line;
  }

  /** Equal for equal runs. */
  get hash(): string {
    return `${this.#count}-${this.#hash.toString(16)}`;
  }

  /** The last lines, oldest first. */
  get lines(): string[] {
    const at = this.#count % KEPT_LINES;
    return this.#count < KEPT_LINES ? [...this.#last] : [...this.#last.slice(at), ...this.#last.slice(0, at)];
  }
}
