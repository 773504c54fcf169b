import type { RaftState } from "../../../manager/raft/state.ts";
import type { Entry } from "../../../manager/raft/mod.ts";

/** A safety property was violated; `rule` is its name in the reference: ES, LM, LC, SM, DU, LIN or LV. */
export class Violation extends Error {
  override readonly name = "Violation";
  constructor(readonly rule: string, detail: string) {
    super(`${rule}: ${detail}`);
  }
}

/**
 * Sees everything that all members do, and knows what must never happen. Entries are never copied on their way, so
 * equal entries are the same object.
 */
export class Checker {
  #leaders = new Map<number, number>();
  #seen = new Map<string, { entry: Entry; prevTerm: number }>();
  /** What any member ever considered committed, by index. */
  readonly committed: Entry[] = [];
  /** The term in which it was: that of the leader, who is the first to know. */
  readonly #committedIn: number[] = [];
  /** The highest index that was acknowledged to a client. */
  acknowledged = 0;

  /** ES: election safety. LC: leader completeness. */
  leads(id: number, raft: RaftState): void {
    const leader = this.#leaders.get(raft.term);
    if (leader === id) return;
    if (leader !== undefined) throw new Violation("ES", `${leader} and ${id} both lead term ${raft.term}`);
    this.#leaders.set(raft.term, id);
    for (let index = Math.max(2, raft.log.firstIndex); index < this.committed.length; index++) {
      const entry = this.committed[index];
      // A leader whose votes were late may come up in a term that is over, and need not have what was committed since.
      const due = (this.#committedIn[index] ?? Infinity) < raft.term;
      if (entry && due && !raft.log.matches(index, entry.term)) {
        throw new Violation(
          "LC",
          `leader ${id} of term ${raft.term} lacks committed entry ${index}/${entry.term}`,
        );
      }
    }
  }

  /** LM: an index and a term name one entry and all entries before it. */
  writes(id: number, entries: readonly Entry[], prevTerm: number): void {
    for (const entry of entries) {
      const key = `${entry.index}/${entry.term}`;
      const seen = this.#seen.get(key);
      if (!seen) this.#seen.set(key, { entry, prevTerm });
      else if (seen.entry !== entry) throw new Violation("LM", `${id} has another entry ${key}`);
      else if (seen.prevTerm !== prevTerm) throw new Violation("LM", `${id} has another entry before ${key}`);
      prevTerm = entry.term;
    }
  }

  /** SM: what is committed at an index is the same everywhere and for ever. */
  commits(id: number, term: number, entries: readonly Entry[]): void {
    for (const entry of entries) {
      const known = this.committed[entry.index];
      if (!known) {
        this.committed[entry.index] = entry;
        this.#committedIn[entry.index] = term;
      } else if (known !== entry) {
        const at = `${entry.index}/${entry.term}`;
        throw new Violation("SM", `${id} commits ${at}, another one committed ${known.index}/${known.term}`);
      }
    }
  }

  /** SM: entries are applied in order, without a gap. */
  applies(id: number, entries: readonly Entry[], applied: number): void {
    for (const entry of entries) {
      if (entry.index !== ++applied) {
        throw new Violation("SM", `${id} applies ${entry.index} instead of ${applied}`);
      }
      if (this.committed[entry.index] !== entry) {
        throw new Violation("SM", `${id} applies a wrong ${entry.index}`);
      }
    }
  }

  /** DU: part one, it was committed. Part two is SM, part three `survives`. */
  acknowledges(index: number, term: number): void {
    if (this.committed[index]?.term !== term) {
      throw new Violation("DU", `${index}/${term} acknowledged uncommitted`);
    }
    this.acknowledged = Math.max(this.acknowledged, index);
  }

  /** LIN: a read sees everything that was acknowledged before it began. */
  reads(id: number, index: number, acknowledgedBefore: number): void {
    if (index < acknowledgedBefore) {
      throw new Violation(
        "LIN",
        `read on ${id} at ${index}, but ${acknowledgedBefore} was acknowledged before`,
      );
    }
  }

  /** DU: after healing, every member has everything that was ever acknowledged. */
  survives(id: number, applied: number): void {
    if (applied < this.acknowledged) {
      throw new Violation("DU", `${id} has ${applied} of ${this.acknowledged}`);
    }
  }
}
