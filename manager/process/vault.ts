/**
 * What a manager keeps sealed, and the lock on it: the keys of its state, and its private keys where the cluster locks its
 * managers. It follows the cluster object, as each manager applies that for itself.
 */
import { getLogger } from "@logtape/logtape";
import {
  type IdentityStore,
  type ManagerKeys,
  type ManagerLock,
  parseUnlockKey,
} from "../../security/mod.ts";
import { clusterOf } from "../cluster/cluster_object.ts";
import type { RaftMember } from "../consensus/member/mod.ts";
import type { ReadView, Store } from "../store/store.ts";

const logger = getLogger(["covey", "node"]);

/** The manager whose state is sealed. */
export interface SealedManager {
  store: Pick<Store, "subscribe"> & ReadView;
  consensus: Pick<RaftMember, "useDataKeys">;
}

/** What a vault tells while it follows a manager. */
export interface VaultHooks {
  /** The private keys are sealed with another key, or not at all any more. */
  resealed(): void;
  /** The first lock is on: the private key, which was on the disk in clear, is to be replaced. */
  locked(): void;
  /** The keys cannot be written: the manager must end, because its disk would not open again. */
  failed(error: Error): void;
}

/** See the file's comment. */
export class Vault {
  readonly #keys: ManagerKeys;
  readonly #identities: IdentityStore;
  #unfollow = () => {};
  /** One change after another. */
  #busy: Promise<unknown> = Promise.resolve();

  constructor(keys: ManagerKeys, identities: IdentityStore) {
    this.#keys = keys;
    this.#identities = identities;
  }

  /** Reads what is there; true if it is locked. Throws `data_loss` if it is damaged. */
  async load(): Promise<boolean> {
    await this.#keys.load();
    return this.#keys.isLocked;
  }

  /** Opens what is locked, or says that the key is a wrong one. Throws `invalid_argument` for what is no key. */
  async unlock(key: string): Promise<boolean> {
    if (!this.#keys.unlock(parseUnlockKey(key))) return false;
    await this.#identities.useSealKey(this.#keys.identity);
    return true;
  }

  /** Keys of the state, the newest last; made where there are none. */
  async dataKeys(): Promise<readonly Uint8Array[]> {
    await this.#keys.create();
    return this.#keys.data;
  }

  /** What the private keys are sealed with, if they are. */
  get identityKey(): Uint8Array | undefined {
    return this.#keys.identity;
  }

  /** Follows the lock of the cluster of a running manager; resolves when that of the moment is on. */
  async follow(manager: SealedManager, hooks: VaultHooks): Promise<void> {
    const follow = () => this.#enqueue(() => this.#adopt(manager, hooks)).catch(hooks.failed);
    this.#unfollow = manager.store.subscribe(({ changes }) => {
      if (changes.some(({ table }) => table === "clusters")) void follow();
    });
    // A start before this one may have ended while another key of the state took over.
    if (this.#keys.data.length > 1) this.#resealState(manager, hooks);
    await this.#enqueue(() => this.#adopt(manager, hooks));
  }

  /** Follows no more; resolves when nothing is under way. */
  async stop(): Promise<void> {
    this.#unfollow();
    this.#unfollow = () => {};
    await this.#busy;
  }

  /** Private keys are in clear from now on, as a worker's are: it starts by itself. */
  async releaseIdentity(): Promise<void> {
    await this.stop();
    await this.#identities.useSealKey(undefined);
  }

  /** Takes the lock off: this is a worker, which may be a manager later. */
  async takeOff(): Promise<void> {
    await this.releaseIdentity();
    if (this.#keys.lock.key !== undefined) await this.#keys.relock({ key: undefined, version: 0 });
  }

  /** Forgets all keys, here and on disk. */
  async remove(): Promise<void> {
    await this.#keys.remove();
  }

  /** The state folder was wiped. */
  async forget(): Promise<void> {
    this.#keys.forget();
    await this.#identities.useSealKey(undefined);
  }

  async #adopt(manager: SealedManager, hooks: VaultHooks): Promise<void> {
    const { lock } = this.#keys, wanted = lockOf(manager.store);
    if (wanted === undefined || wanted.version <= lock.version || sameKey(lock.key, wanted.key)) return;
    const isFirst = lock.key === undefined, isLast = wanted.key === undefined;
    // In this order a crash leaves private keys that are in clear behind a lock, never some that nothing unseals.
    if (isLast) await this.#identities.useSealKey(undefined);
    await this.#keys.relock(wanted);
    if (isFirst) await this.#identities.useSealKey(this.#keys.identity);
    logger.info(isLast ? "This manager is locked no more" : "This manager is locked with a new unlock key");
    if (isFirst || isLast) hooks.resealed();
    if (!isFirst) return;
    hooks.locked();
    this.#resealState(manager, hooks);
  }

  /** In the background: it takes as long as the state is large. */
  #resealState({ consensus }: SealedManager, hooks: VaultHooks): void {
    const { data } = this.#keys;
    consensus.useDataKeys(data).then(
      () =>
        this.#enqueue(async () => {
          // Yet another key may have come meanwhile, and with it another round.
          if (this.#keys.data.length === data.length) await this.#keys.dropOld();
        }).catch(hooks.failed),
      // A disk that failed ends the manager by itself; one that stops goes on at its next start.
      (error) => logger.debug("The state is not sealed anew: {error}", { error }),
    );
  }

  #enqueue<R>(work: () => Promise<R>): Promise<R> {
    const run = this.#busy.then(work);
    this.#busy = run.catch(() => {});
    return run;
  }
}

/** The lock that the cluster object asks for; undefined before there is one. */
function lockOf(view: ReadView): ManagerLock | undefined {
  const cluster = clusterOf(view);
  if (cluster === undefined) return undefined;
  const { UnlockKey, Version } = cluster;
  return { key: UnlockKey === undefined ? undefined : parseUnlockKey(UnlockKey), version: Version.Index };
}

function sameKey(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && a.toHex() === b.toHex());
}
