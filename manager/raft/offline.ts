import { applyConfChange, decodeConfChange, encodeConfChange, MAX_REMOVED, members } from "./conf_change.ts";
import { invariant } from "./invariant.ts";
import { EMPTY_CONF_STATE, type Storage } from "./storage.ts";
import type { WriteBatch } from "./ready.ts";
import { type Entry, type MemberID, NO_MEMBER } from "./types.ts";

/**
 * What the members of a new cluster store before they start: a snapshot without data, so that whoever joins later cannot
 * get the log without the membership that it starts from.
 */
export function bootstrap(voters: readonly MemberID[]): WriteBatch {
  invariant(voters.length > 0, "a cluster has a voter");
  const confState = { ...EMPTY_CONF_STATE, voters: [...voters].sort((a, b) => a - b) };
  const snapshot = { index: 1, term: 1, confState };
  return { snapshot, entries: [], hardState: { term: 1, vote: NO_MEMBER, commit: 1 }, messages: [] };
}

/**
 * Makes `id` the only member after a majority was lost for good; done offline, before its node starts.
 *
 * Everything in its log is kept and counts as committed, because any of it may have been acknowledged. All others count
 * as removed, so that one that comes back is refused.
 *
 * @returns what to store; afterwards the node starts as usual
 */
export function forceSingleMember(storage: Storage, id: MemberID): WriteBatch {
  const { hardState, applied, confState } = storage.initialState();
  const last = storage.lastIndex();
  invariant(id !== NO_MEMBER, "the survivor has an ID", id);
  let conf = confState;
  const entries = applied < last ? storage.entries(applied + 1, last + 1, Infinity) : [];
  for (const entry of entries) {
    if (entry.type === "conf_change") conf = applyConfChange(conf, decodeConfChange(entry.data));
  }
  const others = members(conf).filter((member) => member !== id);
  const removed = [...conf.removed.filter((member) => member !== id), ...others].slice(-MAX_REMOVED);
  const term = hardState.term + 1;
  invariant(term > (storage.term(last) ?? 0), "the new term is beyond the log's", term);
  const data = encodeConfChange({ kind: "force", confState: { ...EMPTY_CONF_STATE, voters: [id], removed } });
  const entry: Entry = { index: last + 1, term, type: "conf_change", data };
  return { snapshot: null, entries: [entry], hardState: { term, vote: id, commit: last + 1 }, messages: [] };
}
