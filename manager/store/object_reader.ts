/**
 * Reads entries and records. Objects that hold equal parts get the same one: a service's tasks repeat its spec, which is
 * most of their bytes; decoded once it takes a quarter of the time and of the memory.
 */
import { CoveyError } from "../../api/errors.ts";
import { CBORReader } from "../../transport/mod.ts";

/** Parts that many objects have in common. */
const SHARED_FIELDS = new Set(["Spec", "SpecVersion", "ServiceAnnotations"]);
/** Text that many objects have in common, though each in a place of its own. */
const REPEATED_FIELDS = new Set(["ServiceID", "NodeID", "State", "DesiredState", "Message"]);
/** Such texts that are remembered. */
const KEPT_TEXTS = 4096;
/** Parts that are remembered before all are forgotten; a large cluster has as many services. */
const MAX_PARTS = 4096;
/** Longer ones are not remembered, so that all together hold 16 MiB at most. */
const MAX_SHARED_BYTES = 4096;
const FNV_PRIME = 0x0100_0193;

interface Part {
  bytes: Uint8Array;
  value: unknown;
}

/** One store's reader. */
export class ObjectReader extends CBORReader {
  /** By hash; of two with the same the later one stays. */
  readonly #parts = new Map<number, Part>();
  readonly #texts: string[] = new Array(KEPT_TEXTS).fill("");

  constructor() {
    // What is read was checked when it was written; half of a surrogate pair, too, was taken then.
    super({ maxValues: Infinity, strictText: false });
  }

  /** Throws `data_loss` on bytes that are no object. */
  override read(bytes: Uint8Array): unknown {
    try {
      return super.read(bytes);
    } catch (cause) {
      throw new CoveyError("data_loss", `Cannot read the state: ${(cause as Error).message}`, { cause });
    }
  }

  /** An earlier version stored such numbers; JSON and arithmetic want plain ones. */
  protected override long(value: bigint): number {
    return Number(value);
  }

  protected override field(key: string, depth: number): unknown {
    if (SHARED_FIELDS.has(key)) return this.#shared(depth);
    if (REPEATED_FIELDS.has(key) && this.isText()) return this.keptText(this.#texts);
    return this.value(depth);
  }

  #shared(depth: number): unknown {
    const start = this.at, hash = this.#hash(), end = this.at;
    const part = this.#parts.get(hash);
    if (part !== undefined && this.#isNext(part.bytes, start, end)) return part.value;
    this.at = start;
    const value = this.value(depth);
    if (end - start <= MAX_SHARED_BYTES) {
      if (this.#parts.size >= MAX_PARTS) this.#parts.clear();
      this.#parts.set(hash, { bytes: this.copyFrom(start), value });
    }
    return value;
  }

  #isNext(known: Uint8Array, start: number, end: number): boolean {
    const { length } = known, bytes = this.bytes;
    if (length !== end - start) return false;
    for (let i = 0; i < length; i++) if (known[i] !== bytes[start + i]) return false;
    return true;
  }

  /** Steps over one value, whatever it holds. */
  #hash(): number {
    let hash = 0;
    for (let left = 1; left > 0; left--) {
      const head = this.byte(), major = head >> 5;
      const argument = this.argument(head & 31);
      hash = Math.imul(hash ^ head, FNV_PRIME) ^ argument;
      if (major === 2 || major === 3) {
        const bytes = this.bytes, start = this.skip(argument);
        // What is too long to be remembered need not be told apart.
        if (argument > MAX_SHARED_BYTES) continue;
        for (let i = start; i < this.at; i++) hash = Math.imul(hash ^ bytes[i]!, FNV_PRIME);
      } else if (major === 4) left += argument;
      else if (major === 5) left += 2 * argument;
    }
    // A map finds small integers fastest.
    return hash & 0x3fff_ffff;
  }
}
