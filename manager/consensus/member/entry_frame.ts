/**
 * What an entry of the log says to a member: one byte of kind, then the payload. The core's own entries (membership
 * changes, and the empty one of a new leader) come without a frame.
 */
import { Encoder } from "cbor-x/index-no-eval";
import { CoveyError } from "../../../api/errors.ts";
import type { MemberAddress } from "../disk/disk_storage.ts";

/** Bytes that the frame adds to an entry. */
export const FRAME_BYTES = 1;
const KIND_STATE = 0;
const KIND_ADDRESS = 1;

const cbor = new Encoder({ useRecords: false, mapsAsObjects: true, variableMapSize: true });

/** A decoded entry: bytes for the state machine, or where a member is found from now on. */
export type Framed = { kind: "state"; data: Uint8Array } | { kind: "address"; address: MemberAddress };

/** An entry for the state machine. */
export function frameState(data: Uint8Array): Uint8Array {
  const framed = new Uint8Array(FRAME_BYTES + data.length);
  framed[0] = KIND_STATE;
  framed.set(data, FRAME_BYTES);
  return framed;
}

/** An entry that says where a member is found. */
export function frameAddress({ memberID, nodeID, address }: MemberAddress): Uint8Array {
  const framed = frameState(cbor.encode([memberID, nodeID, address]));
  framed[0] = KIND_ADDRESS;
  return framed;
}

/** The inverse. Throws `unimplemented` on an unknown kind: to skip an entry would make this member differ from others. */
export function unframe(entry: Uint8Array): Framed {
  const data = entry.subarray(FRAME_BYTES);
  if (entry[0] === KIND_STATE) return { kind: "state", data };
  if (entry[0] !== KIND_ADDRESS) {
    throw new CoveyError(
      "unimplemented",
      `Cannot read the entry: its kind is ${entry[0]}, made by a newer version?`,
    );
  }
  const [memberID, nodeID, address] = cbor.decode(data) as [number, string, string];
  return { kind: "address", address: { memberID, nodeID, address } };
}
