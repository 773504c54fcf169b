/** The part of Deno KV that an agent's local state uses, with commits that take time and that a crash may lose. */
import type { SeededRandom } from "../raft/random.ts";
import type { Host } from "./host.ts";

/** Milliseconds of a commit, at most. */
const COMMIT_MS = 2;

/** What one device has stored. */
export class SimKv {
  readonly #host: Host;
  readonly #random: SeededRandom;
  readonly #records = new Map<string, { key: Deno.KvKey; value: unknown }>();
  readonly #commitMs: number;
  readonly #onWrite: () => void;
  #writing: (() => void) | undefined;

  /** `onWrite` is called with each commit that begins. */
  constructor(host: Host, commitMs = COMMIT_MS, onWrite: () => void = () => {}) {
    this.#host = host;
    this.#commitMs = commitMs;
    this.#onWrite = onWrite;
    this.#random = host.world.fork();
  }

  /** The store for the present life of its machine. */
  open(): Deno.Kv {
    const host = this.#host, { life } = host;
    const kv = {
      get: (key: Deno.KvKey) =>
        Promise.resolve({ key, value: this.#records.get(key.join("/"))?.value ?? null }),
      list: ({ prefix }: { prefix: Deno.KvKey }) => this.#list(prefix),
      atomic: () => this.#atomic(life),
      close: () => {},
    };
    return kv as unknown as Deno.Kv;
  }

  /** The commit under way is done or lost. */
  crash(): void {
    if (this.#random.chance(0.5)) this.#writing?.();
    this.#writing = undefined;
  }

  async *#list(prefix: Deno.KvKey) {
    await Promise.resolve();
    const start = prefix.join("/") + "/";
    const keys = [...this.#records.keys()].filter((key) => key.startsWith(start)).sort();
    for (const key of keys) yield this.#records.get(key)!;
  }

  #atomic(life: number) {
    const host = this.#host;
    const changes: (() => void)[] = [];
    const set = (key: Deno.KvKey, value: unknown) =>
      changes.push(() => this.#records.set(key.join("/"), { key, value }));
    const remove = (key: Deno.KvKey) => changes.push(() => this.#records.delete(key.join("/")));
    const commit = () =>
      new Promise<{ ok: true }>((resolve) => {
        if (life !== host.life) return;
        const apply = () => changes.forEach((change) => change());
        this.#writing = apply;
        this.#onWrite();
        host.world.queue.after(this.#commitMs * this.#random.next(), () => {
          if (life !== host.life) return;
          this.#writing = undefined;
          apply();
          host.enter(life, () => resolve({ ok: true }));
        });
      });
    return { set, delete: remove, commit };
  }
}
