/** Operations in one word of the set; what a character of a JavaScript string holds. */
const WORD = 16;

/**
 * The completed operations linearized so far, with a short exact name for the memo. They are linearized roughly in time
 * order, so their set is a full beginning and a small window; the name holds the window only.
 */
export class LinearizedSet {
  readonly #words: Uint16Array;
  /** Operations of each word that are not in the set. */
  readonly #missing: Uint8Array;
  readonly #highs: number[] = [];
  /** The first word that lacks an operation. */
  #low = 0;
  /** The last word that holds one. */
  #high = -1;

  constructor(count: number) {
    const words = Math.ceil(count / WORD);
    this.#words = new Uint16Array(words);
    this.#missing = Uint8Array.from({ length: words }, (_, word) => Math.min(WORD, count - word * WORD));
  }

  add(operation: number): void {
    const word = Math.floor(operation / WORD);
    this.#words[word]! |= 1 << operation % WORD;
    this.#missing[word]!--;
    this.#highs.push(this.#high);
    this.#high = Math.max(this.#high, word);
    while (this.#low < this.#words.length && this.#missing[this.#low] === 0) this.#low++;
  }

  /** Takes out the operation that was added last. */
  remove(operation: number): void {
    const word = Math.floor(operation / WORD);
    this.#words[word]! &= ~(1 << operation % WORD);
    this.#missing[word]!++;
    this.#high = this.#highs.pop()!;
    this.#low = Math.min(this.#low, word);
  }

  /** Equal for equal sets, different for different ones. */
  name(): string {
    let name = `${this.#low},${this.#high},`;
    for (let word = this.#low; word <= this.#high; word++) name += String.fromCharCode(this.#words[word]!);
    return name;
  }
}
