/** What the members' disks say about Raft: votes, terms and the log, checked as they become durable. */
import { crc32 } from "node:zlib";
import { Decoder } from "cbor-x/index-no-eval";
import type { Mutation } from "../../../manager/consensus/disk/disk.ts";
import { decodeBatch } from "../../../manager/consensus/disk/entry_batch.ts";
import { unseal } from "../../../manager/consensus/disk/record.ts";
import type { Message } from "../../../manager/raft/mod.ts";
import { Violation } from "../raft/checker.ts";

interface Seen {
  /** Names the content. */
  crc: number;
  prevTerm: number | undefined;
}

/** What one disk is known to hold. */
interface Shelf {
  terms: Map<number, number>;
  /** Entries of each batch, by the index of its first. */
  batches: Map<number, number>;
  term: number;
  vote: number;
  checkpoint: number;
}

const cbor = new Decoder({ useRecords: false, mapsAsObjects: true });

/** The rules about what members have stored, checked at each commit of a disk. */
export class DiskChecker {
  readonly #entries = new Map<string, Seen>();
  readonly #shelves = new Map<string, Shelf>();
  /** Told of each new term on a disk: most often a vote. */
  onTerm: (name: string) => void = () => {};

  /** These became durable on the disk of `name`. */
  stored(name: string, mutations: readonly Mutation[]): void {
    const shelf = this.#shelf(name);
    for (const { key, value } of mutations) {
      if (key[0] === "log") this.#batch(name, shelf, key as [string, number, number], value);
      else if (key[0] === "member" && key[1] === "hardState" && value) {
        this.#hardState(name, shelf, key, value);
      } else if (key[0] === "checkpoint" && value) this.#checkpoint(name, shelf, key, value);
    }
  }

  /** A message leaves `name`. What it promises must be on the disk: a vote (ES), entries (DU). */
  sends(name: string, message: Message): void {
    const { terms, term, vote, checkpoint } = this.#shelf(name);
    // Once a newer term is on the disk, the promise binds nobody any more.
    if (message.term < term) return;
    if (message.type === "vote_response" && message.granted) {
      if (message.term === term && message.to === vote) return;
      throw new Violation(
        "ES",
        `${name} votes for ${message.to} in term ${message.term}, and has not noted it`,
      );
    }
    if (message.type !== "append_response" || message.rejected) return;
    if (message.index > checkpoint && !terms.has(message.index)) {
      throw new Violation("DU", `${name} accepts entries up to ${message.index}, and has not stored them`);
    }
  }

  /** The disk was replaced by an empty one. */
  wiped(name: string): void {
    this.#shelves.delete(name);
  }

  #shelf(name: string): Shelf {
    let shelf = this.#shelves.get(name);
    if (!shelf) {
      shelf = { terms: new Map(), batches: new Map(), term: 0, vote: 0, checkpoint: 0 };
      this.#shelves.set(name, shelf);
    }
    return shelf;
  }

  /** A batch of entries; a large one alone comes in several parts, of which the first says its term. */
  #batch(
    name: string,
    shelf: Shelf,
    key: readonly [string, number, number],
    value: Uint8Array | undefined,
  ): void {
    const [, first, part] = key;
    if (part > 0) return;
    for (let at = first; at < first + (shelf.batches.get(first) ?? 0); at++) shelf.terms.delete(at);
    shelf.batches.delete(first);
    if (value === undefined) return;
    const { payload } = unseal(key, value);
    const entries = decodeBatch(first, payload) ??
      [{ index: first, term: new DataView(payload.buffer, payload.byteOffset).getFloat64(0), data: payload }];
    shelf.batches.set(first, entries.length);
    for (const { index, term, data } of entries) this.#entry(name, shelf.terms, index, term, crc32(data));
  }

  /** LM: an index and a term name one entry, and all entries before it. */
  #entry(name: string, terms: Map<number, number>, index: number, term: number, crc: number): void {
    const at = `${index}/${term}`, prevTerm = terms.get(index - 1), seen = this.#entries.get(at);
    terms.set(index, term);
    if (!seen) return void this.#entries.set(at, { crc, prevTerm });
    if (seen.crc !== crc) throw new Violation("LM", `${name} has another entry ${at}`);
    if (prevTerm !== undefined && seen.prevTerm !== undefined && seen.prevTerm !== prevTerm) {
      throw new Violation(
        "LM",
        `${name} has another entry before ${at}: of ${prevTerm}, not ${seen.prevTerm}`,
      );
    }
    seen.prevTerm ??= prevTerm;
  }

  /** ES: terms grow, and a term has one vote. */
  #hardState(name: string, shelf: Shelf, key: Mutation["key"], value: Uint8Array): void {
    const { term, vote } = cbor.decode(unseal(key, value).payload) as { term: number; vote: number };
    if (term < shelf.term) throw new Violation("ES", `${name} goes back from term ${shelf.term} to ${term}`);
    if (term === shelf.term && shelf.vote !== 0 && vote !== shelf.vote) {
      throw new Violation("ES", `${name} votes for ${vote} in term ${term}, and did for ${shelf.vote}`);
    }
    if (term > shelf.term) this.onTerm(name);
    shelf.term = term;
    shelf.vote = vote;
  }

  /** DU: what is known to be committed stays so. */
  #checkpoint(name: string, shelf: Shelf, key: Mutation["key"], value: Uint8Array): void {
    const { minor: index } = unseal(key, value);
    if (index < shelf.checkpoint) {
      throw new Violation("DU", `${name} goes back from checkpoint ${shelf.checkpoint} to ${index}`);
    }
    shelf.checkpoint = index;
  }
}
