/** A simulated disk: commits take time, a crash loses or tears the one under way, and stored bytes may rot. */
import { CoveyError } from "../../../api/errors.ts";
import type { Disk, DiskKey, Mutation } from "../../../manager/consensus/disk/disk.ts";
import { compareKeys } from "../../manager/consensus/member/memory_disk.ts";
import type { SeededRandom } from "../raft/random.ts";
import type { Host } from "./host.ts";

/** How the next commit fails; both are final for the program, and over when it is started again. */
export type DiskFailure = "full" | "fsync";

interface DiskRecord {
  key: DiskKey;
  value: Uint8Array;
}

/** Bugs put in on purpose, and what sees every commit. */
export interface DiskHooks {
  /** Changes what reaches the disk. */
  breakWrites?: ((mutations: readonly Mutation[]) => readonly Mutation[]) | undefined;
  /** Says that a commit is done before it is. */
  acknowledgeEarly?: boolean | undefined;
  /** These have become durable. */
  stored: (mutations: readonly Mutation[]) => void;
}

/** What one machine has stored. It outlives the machine's programs. */
export class SimDisk {
  readonly #host: Host;
  readonly #hooks: DiskHooks;
  readonly #random: SeededRandom;
  #records = new Map<string, DiskRecord>();
  /** Milliseconds that a commit takes, about. */
  syncMs = 1;
  /** How the next commit fails. */
  failure: DiskFailure | undefined;
  /** Bytes may not be what was written: a commit was torn or a bit flipped since the disk was made. */
  damaged = false;
  /** A commit of the present life has failed. */
  hasFailed = false;
  /** Commits under way, oldest first: one, but for a disk that lies. */
  #writing: (readonly Mutation[])[] = [];
  #lastSync = 0;

  constructor(host: Host, hooks: DiskHooks) {
    this.#host = host;
    this.#hooks = hooks;
    this.#random = host.world.fork();
  }

  get isEmpty(): boolean {
    return this.#records.size === 0;
  }

  /** The disk for the present life of its machine. */
  open(): Disk {
    const host = this.#host, { life } = host;
    const failed = Promise.withResolvers<Error>();
    let error: CoveyError | undefined;
    let last: Promise<void> = Promise.resolve();
    const write = async (mutations: readonly Mutation[]) => {
      if (error) throw error;
      await this.#write(life, mutations).catch((thrown) => {
        failed.resolve(error = thrown);
        throw thrown;
      });
    };
    return {
      failed: failed.promise,
      commit(mutations) {
        const done = last.then(() => write(mutations));
        last = done.catch(() => {});
        return done;
      },
      get: (key) => Promise.resolve(this.#records.get(key.join("/"))?.value),
      list: (prefix, start = prefix) => this.#list(prefix, start),
      close: () => last,
    };
  }

  /** Power off: what is under way is lost, or done, or, if `mayTear`, done in part; in order. */
  crash(mayTear: boolean): void {
    this.#lastSync = 0;
    this.failure = undefined;
    this.hasFailed = false;
    for (const writing of this.#writing.splice(0)) {
      const luck = this.#random.next();
      if (luck < 0.4) break;
      if (luck < 0.7) this.#store(writing);
      else if (mayTear && writing.length > 1) {
        const torn = writing.filter(() => this.#random.chance(0.5));
        this.damaged ||= torn.length > 0 && torn.length < writing.length;
        this.#store(torn);
        break;
      } else break;
    }
    this.#writing = [];
  }

  /** Turns over one bit of one record; false if there is none. */
  flipBit(): boolean {
    const records = [...this.#records.values()];
    if (records.length === 0) return false;
    const record = this.#random.pick(records);
    const value = record.value.slice();
    value[this.#random.between(0, value.length - 1)]! ^= 1 << this.#random.between(0, 7);
    this.#records.set(record.key.join("/"), { key: record.key, value });
    this.damaged = true;
    return true;
  }

  /** A new disk in the same machine. */
  wipe(): void {
    this.#records.clear();
    this.damaged = false;
    this.failure = undefined;
    this.hasFailed = false;
    this.syncMs = 1;
  }

  #write(life: number, mutations: readonly Mutation[]): Promise<void> {
    const host = this.#host, { failure } = this;
    const broken = this.#hooks.breakWrites?.(mutations) ?? mutations;
    if (life !== host.life) return new Promise(() => {});
    this.#writing.push(broken);
    return new Promise((resolve, reject) => {
      const { now, queue } = host.world;
      this.#lastSync = Math.max(this.#lastSync, now) + this.syncMs * (0.3 + 1.4 * this.#random.next());
      if (this.#hooks.acknowledgeEarly) resolve();
      queue.after(this.#lastSync - now, () => {
        if (life !== host.life) return;
        this.#writing.shift();
        if (failure === undefined) {
          this.#store(broken);
          return host.enter(life, resolve);
        }
        // After a failed sync the data may be there or not.
        if (failure === "fsync" && this.#random.chance(0.5)) this.#store(broken);
        this.hasFailed = true;
        const problem = failure === "full" ? "no space is left" : "the sync failed";
        host.enter(life, () => reject(new CoveyError("data_loss", `Cannot write: ${problem}`)));
      });
    });
  }

  #store(mutations: readonly Mutation[]): void {
    for (const { key, value } of mutations) {
      if (value === undefined) this.#records.delete(key.join("/"));
      else this.#records.set(key.join("/"), { key, value: value.slice() });
    }
    this.#hooks.stored(mutations);
  }

  async *#list(prefix: DiskKey, start: DiskKey): AsyncIterable<DiskRecord> {
    await Promise.resolve();
    const wanted = [...this.#records.values()].filter(({ key }) =>
      compareKeys(key.slice(0, prefix.length), prefix) === 0 && compareKeys(key, start) >= 0
    );
    yield* wanted.sort((a, b) => compareKeys(a.key, b.key));
  }
}
