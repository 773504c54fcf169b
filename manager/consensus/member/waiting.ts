/** Who waits for what: proposals by the index of their entry, and reads by the index that answers them. */
import { CoveyError } from "../../../api/errors.ts";
import { notLeading } from "../not_leading.ts";
import type { ProposalRefusal } from "../../raft/mod.ts";

interface WaitingProposal {
  term: number;
  local: unknown;
  resolve: (index: number) => void;
  reject: (error: unknown) => void;
}

/** A proposal that the core has not seen yet. */
interface FreshProposal extends Omit<WaitingProposal, "term"> {
  readonly data: Uint8Array;
}

/** Proposals that wait for the next batch, and those whose entries are in the log but not applied yet. */
export class WaitingProposals {
  readonly #waiting = new Map<number, WaitingProposal>();
  readonly #fresh: FreshProposal[] = [];
  #freshBytes = 0;

  get size(): number {
    return this.#waiting.size + this.#fresh.length;
  }

  /** What the core has not seen yet, in order. */
  get fresh(): readonly FreshProposal[] {
    return this.#fresh;
  }

  get freshBytes(): number {
    return this.#freshBytes;
  }

  /** Resolves with the index of the entry that `data` becomes, once it is applied. */
  add(data: Uint8Array, local: unknown): Promise<number> {
    this.#freshBytes += data.length;
    return new Promise((resolve, reject) => this.#fresh.push({ data, local, resolve, reject }));
  }

  /** The first of the fresh ones has become the entry of `term` at `index`. */
  enter(index: number, term: number): void {
    const { local, resolve, reject } = this.#takeFresh();
    this.#waiting.set(index, { term, local, resolve, reject });
  }

  /** The first of the fresh ones was refused. */
  refuse(error: unknown): void {
    this.#takeFresh().reject(error);
  }

  /** Resolves with `index` once the entry there is applied, if it is the one of `term`. */
  wait(index: number, term: number): Promise<number> {
    return new Promise((resolve, reject) =>
      this.#waiting.set(index, { term, local: undefined, resolve, reject })
    );
  }

  /** What the proposer handed in for its own state machine. */
  local(index: number, term: number): unknown {
    const waiting = this.#waiting.get(index);
    return waiting?.term === term ? waiting.local : undefined;
  }

  /** The entry of `term` at `index` was applied. */
  applied(index: number, term: number): void {
    const waiting = this.#waiting.get(index);
    if (waiting === undefined) return;
    this.#waiting.delete(index);
    if (waiting.term === term) waiting.resolve(index);
    else {waiting.reject(
        new CoveyError("unavailable", "Cannot commit: another leader's entry took its place"),
      );}
  }

  /** Fails all of them. Of what the core has not seen it is certain that nothing was proposed. */
  fail(error: unknown, unseen = error): void {
    while (this.#fresh.length > 0) this.refuse(unseen);
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }

  #takeFresh(): FreshProposal {
    const first = this.#fresh.shift()!;
    this.#freshBytes -= first.data.length;
    return first;
  }
}

/** The error for a proposal that the core has refused. */
export function refusal(reason: ProposalRefusal): CoveyError {
  if (reason === "too_much_uncommitted") return tooMuchUncommitted();
  if (reason === "too_large") {
    return new CoveyError("resource_exhausted", "Cannot propose: the entry is too large");
  }
  if (reason === "not_leader") return notLeading("propose", "this manager is not the leader");
  return notLeading("propose", "leadership is being handed over");
}

/** The error for a proposal beyond what may wait. */
export function tooMuchUncommitted(): CoveyError {
  return new CoveyError("resource_exhausted", "Cannot propose: too much waits to be committed", {
    retryable: true,
  });
}

interface Reader {
  resolve: () => void;
  reject: (error: unknown) => void;
}

interface ReadRound {
  readers: Reader[];
  /** Ticks since it was asked for. */
  age: number;
}

/** Reads that wait for the leader's word, then for the index it named. */
export class WaitingReads {
  #fresh: Reader[] = [];
  readonly #rounds = new Map<number, ReadRound>();
  #confirmed: { index: number; readers: Reader[] }[] = [];

  /** Resolves when the read may be served. */
  wait(): Promise<void> {
    return new Promise((resolve, reject) => this.#fresh.push({ resolve, reject }));
  }

  /** Whether somebody waits for whom nobody has asked yet. */
  get hasFresh(): boolean {
    return this.#fresh.length > 0;
  }

  /** All that came since the last time are answered by the read `id`. */
  asked(id: number): void {
    this.#rounds.set(id, { readers: this.#fresh, age: 0 });
    this.#fresh = [];
  }

  /** Nobody can be asked. */
  refuseFresh(error: unknown): void {
    for (const { reject } of this.#fresh.splice(0)) reject(error);
  }

  confirmed(id: number, index: number): void {
    const round = this.#rounds.get(id);
    if (round === undefined) return;
    this.#rounds.delete(id);
    this.#confirmed.push({ index, readers: round.readers });
  }

  /** The leader who was asked is none any more. */
  lost(id: number, error: unknown): void {
    for (const { reject } of this.#rounds.get(id)?.readers ?? []) reject(error);
    this.#rounds.delete(id);
  }

  /** Everything up to `index` is applied. */
  applied(index: number): void {
    if (this.#confirmed.length === 0) return;
    for (const read of this.#confirmed) {
      if (read.index <= index) { for (const { resolve } of read.readers.splice(0)) resolve(); }
    }
    this.#confirmed = this.#confirmed.filter(({ readers }) => readers.length > 0);
  }

  /** One tick has passed; returns the reads that have waited for `maxTicks`, which have to be given up. */
  tick(maxTicks: number): number[] {
    const late: number[] = [];
    for (const [id, round] of this.#rounds) if (++round.age >= maxTicks) late.push(id);
    return late;
  }

  /** Fails all of them. */
  fail(error: unknown): void {
    this.refuseFresh(error);
    for (const id of [...this.#rounds.keys()]) this.lost(id, error);
    for (const { readers } of this.#confirmed.splice(0)) for (const { reject } of readers) reject(error);
  }
}
