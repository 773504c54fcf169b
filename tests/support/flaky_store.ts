/** A store whose writes fail when a test says so, for one of those who write to it. */
import { CoveyError } from "../../api/errors.ts";
import type { ItemOutcome, Store, WriteTransaction } from "../../manager/store/store.ts";

/**
 * What becomes of a write: `refused`, nothing of it is written; `half`, of a batch only the first half is, of anything else
 * nothing; `lost`, all of it is, and nobody is told so.
 */
export type Flaw = "refused" | "half" | "lost";

const REFUSED = new CoveyError("unavailable", "Cannot propose: refused proposal");
const LOST = new CoveyError("unknown", "Cannot tell the outcome: the answer was lost");

/** A refused transaction's callback runs all the same. */
function refuse(callback: () => unknown): never {
  callback();
  throw REFUSED;
}

/** `store` with writes that fail as `flaw` says, which is asked at each write. */
export function flakyStore(store: Store, flaw: () => Flaw | undefined): Store {
  const batch = async <I, R>(
    items: Iterable<I>,
    callback: (tx: WriteTransaction, item: I) => R,
    settle?: (item: I, outcome: ItemOutcome<R>) => void,
  ): Promise<void> => {
    const all = [...items];
    const how = all.length === 0 ? undefined : flaw();
    const written = how === "refused" ? 0 : how === "half" ? Math.floor(all.length / 2) : all.length;
    const error = how === "lost" ? LOST : REFUSED;
    let failure = how && error;
    await store.batch(all.slice(0, written), callback, (item, outcome) => {
      const told: ItemOutcome<R> = how === "lost" ? { committed: false, error } : outcome;
      if (!told.committed) failure ??= told.error;
      settle?.(item, told);
    });
    await store.batch(
      all.slice(written),
      (tx, item): R => refuse(() => callback(tx, item)),
      (item, outcome) => {
        settle?.(item, outcome);
      },
    );
    if (failure && !settle) throw failure;
  };
  const update = async <R>(callback: (tx: WriteTransaction) => R): Promise<R> => {
    const how = flaw();
    if (how === "refused" || how === "half") return await store.update((tx): R => refuse(() => callback(tx)));
    const result = await store.update(callback);
    if (how === "lost") throw LOST;
    return result;
  };
  return Object.assign(Object.create(store) as Store, {
    batch,
    update,
    get: store.get.bind(store),
    all: store.all.bind(store),
    count: store.count.bind(store),
    find: store.find.bind(store),
    subscribe: store.subscribe.bind(store),
  });
}
