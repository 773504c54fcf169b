/**
 * Turns the role that a node shall have into the one it has (SwarmKit `role_manager.go`). Part of the leader. A node that
 * shall be a manager becomes one at once, as far as the cluster is concerned: its next certificate says so. One that
 * shall be none leaves the quorum first, so that no certificate of a worker is ever counted on for a vote.
 */
import { SayOnce } from "../../api/say_once.ts";
import { getLogger } from "@logtape/logtape";
import { type CancelTimer, type Clock } from "../../api/clock.ts";
import type { Node } from "../../api/node.ts";
import type { Store } from "../store/store.ts";

/** Pause after a change that failed: a quorum may be in danger until a member returns. */
const RETRY_MS = 1_000;

/** What a {@linkcode RoleManager} works with. */
export interface RoleManagerOptions {
  store: Store;
  clock: Clock;
  /** The quorum: rejects while the rest could not go on without the node, or while it hands over leadership. */
  members: { removeNode(nodeID: string): Promise<void> };
}

const logger = getLogger(["covey", "roles"]);

/** Makes the role of each node follow its spec, for as long as this manager leads. */
export class RoleManager {
  readonly name = "role manager";
  readonly #options: RoleManagerOptions;
  #unsubscribe = () => {};
  #cancelRetry: CancelTimer = () => {};
  #running: Promise<void> | undefined;
  #again = false;
  #stopped = true;
  readonly #said = new SayOnce();

  constructor(options: RoleManagerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#stopped = false;
    this.#unsubscribe = this.#options.store.subscribe(({ changes }) => {
      if (changes.some(({ table }) => table === "nodes")) this.#wake();
    }, this.name);
    this.#wake();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#unsubscribe();
    this.#cancelRetry();
    await this.#running;
  }

  #wake(): void {
    if (this.#stopped) return;
    if (this.#running) this.#again = true;
    else if (this.#misfits().length > 0) {
      this.#cancelRetry();
      this.#running = this.#reconcile().finally(() => {
        this.#running = undefined;
        if (this.#again) this.#wake();
      });
    }
  }

  #misfits(): Node[] {
    return this.#options.store.all("nodes").filter((node) => node.Role !== node.Spec.Role);
  }

  async #reconcile(): Promise<void> {
    this.#again = false;
    for (const { ID } of this.#misfits()) {
      if (this.#stopped) return;
      try {
        await this.#change(ID);
      } catch (thrown) {
        const text = `Cannot change the role of node ${ID} yet: ${(thrown as Error).message}`;
        if (this.#said.isNew(text)) logger.warn(text);
        this.#cancelRetry();
        if (!this.#stopped) this.#cancelRetry = this.#options.clock.setTimer(RETRY_MS, () => this.#wake());
      }
    }
  }

  async #change(id: string): Promise<void> {
    const { store, members } = this.#options;
    if (store.get("nodes", id)?.Spec.Role === "worker") await members.removeNode(id);
    await store.update((tx) => {
      const node = tx.get("nodes", id);
      if (node && node.Role !== node.Spec.Role) tx.update("nodes", { ...node, Role: node.Spec.Role });
    });
  }
}
