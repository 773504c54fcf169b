import type { Managers } from "./managers.ts";

const POLL_MS = 100;

/** Watches through every manager who leads. */
export class LeaderWatch {
  readonly #managers: Managers;
  readonly #stop = new AbortController();
  readonly #loops: Promise<void>[];
  #leader: number | undefined;
  #changes = 0;

  constructor(managers: Managers) {
    this.#managers = managers;
    this.#loops = Array.from({ length: managers.count }, (_, index) => this.#watch(index));
  }

  /** The leader that was last heard of. */
  get leader(): number | undefined {
    return this.#leader;
  }

  /** How often another manager than before was found to lead. */
  get changes(): number {
    return this.#changes;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#loops);
  }

  async #watch(index: number): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const leader = await this.#ask(index);
      if (leader !== undefined && leader !== this.#leader) {
        if (this.#leader !== undefined) this.#changes++;
        this.#leader = leader;
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  async #ask(index: number): Promise<number | undefined> {
    const nodes = await this.#managers.get(index, "/nodes") as
      | { ManagerStatus?: { Leader?: boolean; Addr: string } }[]
      | undefined;
    const address = nodes?.find(({ ManagerStatus }) => ManagerStatus?.Leader)?.ManagerStatus?.Addr;
    for (let other = 0; other < this.#managers.count; other++) {
      if (this.#managers.address(other) === address) return other;
    }
    return undefined;
  }
}
