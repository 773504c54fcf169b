/** Bugs to be put in on purpose, to see whether the simulation finds them. */
import { Encoder } from "cbor-x/index-no-eval";
import type { Mutation } from "../../../manager/consensus/disk/disk.ts";
import { seal, unseal } from "../../../manager/consensus/disk/record.ts";

/** Which bugs are put in; without any, the production code runs as it is. */
export interface Faults {
  /** The disk says that a commit is done before it is. */
  acknowledgeEarly?: boolean;
  /** The vote is not written. */
  forgetVote?: boolean;
  /** Half of a snapshot's records are not taken over. */
  forgetRestored?: boolean;
  /** Reads are served without asking whether this is still the leader. */
  readWithoutBarrier?: boolean;
  /** A checkpoint loses the last record that changed. */
  forgetDirty?: boolean;
}

const cbor = new Encoder({ useRecords: false, mapsAsObjects: true, variableMapSize: true });

/** `mutations` with no vote in them. */
export function withoutVote(mutations: readonly Mutation[]): readonly Mutation[] {
  return mutations.map(({ key, value }) => {
    if (key[0] !== "member" || key[1] !== "hardState" || value === undefined) return { key, value };
    const { payload, ...header } = unseal(key, value);
    return { key, value: seal(key, header, cbor.encode({ ...cbor.decode(payload), vote: 0 })) };
  });
}
