/** The core's messages as they travel: entries without what follows from their place. */
import { isShowable } from "../../../api/characters.ts";
import { CoveyError } from "../../../api/errors.ts";
import type { RaftHello, SnapshotChunk, SnapshotHead } from "../../../api/raft.ts";
import { quoted } from "../../../api/validate/mod.ts";
import type { MemberAddress } from "../disk/disk_storage.ts";
import type { Entry, EntryType, Message } from "../../raft/mod.ts";

const ENTRY_TYPES: readonly EntryType[] = ["normal", "conf_change"];
/** What a message may be, and the numbers and truth values that it must have besides `from`, `to` and `term`. */
const FIELDS: Record<Message["type"], Record<string, "number" | "boolean" | "object">> = {
  pre_vote: { lastIndex: "number", lastTerm: "number", round: "number" },
  pre_vote_response: { granted: "boolean", round: "number" },
  vote: { lastIndex: "number", lastTerm: "number", transfer: "boolean" },
  vote_response: { granted: "boolean" },
  append: { prevIndex: "number", prevTerm: "number", commit: "number", entries: "object" },
  append_response: { index: "number", rejected: "boolean", hintIndex: "number", hintTerm: "number" },
  heartbeat: { commit: "number", readRound: "number" },
  heartbeat_response: { readRound: "number" },
  snapshot: { snapshot: "object" },
  timeout_now: {},
  read_index: { id: "number" },
  read_index_response: { id: "number", index: "number" },
};
/** Lists of a snapshot's membership. */
const CONF_LISTS = ["voters", "votersOutgoing", "learners", "learnersNext", "removed"] as const;

/** A message as a CBOR value; the entries of an append become `term, type, data` in turn. */
export function encodeMessage(message: Message): unknown {
  if (message.type !== "append") return message;
  const entries: unknown[] = [];
  for (const { term, type, data } of message.entries) entries.push(term, ENTRY_TYPES.indexOf(type), data);
  return { ...message, entries };
}

/** Reads a message from another member. Throws `invalid_argument`; numbers in it are for the core to judge. */
export function decodeMessage(value: unknown): Message {
  const fields = record(value, "message");
  if (typeof fields.type !== "string" || !Object.hasOwn(FIELDS, fields.type)) {
    throw refuse(`its type is ${quoted(fields.type)}`);
  }
  const expected = FIELDS[fields.type as Message["type"]];
  for (const [name, type] of Object.entries({ from: "number", to: "number", term: "number", ...expected })) {
    const field = fields[name], found: string = typeof field;
    if (found !== type || field === null || (type === "number" && !isCount(field))) {
      throw refuse(`${name} is missing or wrong`);
    }
  }
  if (fields.type === "append") return { ...fields, entries: decodeEntries(fields) } as unknown as Message;
  if (fields.type === "snapshot") checkSnapshot(record(fields.snapshot, "snapshot"));
  return fields as unknown as Message;
}

/** Bytes that a message is charged with in a queue. */
export function messageBytes(message: Message): number {
  if (message.type !== "append") return MESSAGE_BYTES;
  return message.entries.reduce((sum, { data }) => sum + data.length + ENTRY_BYTES, MESSAGE_BYTES);
}

/** Characters of HOST:PORT: a DNS name and a port, with slack. */
const MAX_ADDRESS_LENGTH = 300;
const MESSAGE_BYTES = 128;
const ENTRY_BYTES = 16;

/** Reads the first item of a stream. */
export function decodeHello(value: unknown): RaftHello {
  const { From, To, Addr } = record(value, "hello");
  if (isCount(From) && isCount(To) && isAddress(Addr)) {
    return { From, To, Addr };
  }
  throw refuse("the stream does not say who sends it");
}

/** Reads the head of a snapshot. */
export function decodeSnapshotHead(
  value: unknown,
): { message: Message & { type: "snapshot" }; addresses: MemberAddress[] } {
  const { Message, Members } = record(value, "snapshot head") as unknown as SnapshotHead;
  const message = decodeMessage(Message);
  if (message.type !== "snapshot" || !Array.isArray(Members)) throw refuse("it is not a snapshot");
  const addresses = Members.map((each) => {
    const { MemberID, NodeID, Addr } = record(each, "member");
    if (!isCount(MemberID) || typeof NodeID !== "string" || !isAddress(Addr)) {
      throw refuse("a member lacks its address");
    }
    return { memberID: MemberID, nodeID: NodeID, address: Addr };
  });
  return { message, addresses };
}

/** Reads a part of a snapshot. */
export function decodeSnapshotChunk(value: unknown): SnapshotChunk {
  const { Records, Total } = record(value, "snapshot chunk");
  const isPairs = Array.isArray(Records) && Records.length % 2 === 0 &&
    Records.every((part, at) => at % 2 === 0 ? typeof part === "string" : part instanceof Uint8Array);
  if (!isPairs) throw refuse("its records are not keys and values");
  return { Records: Records as SnapshotChunk["Records"], ...(typeof Total === "number" && { Total }) };
}

function decodeEntries(fields: Record<string, unknown>): Entry[] {
  const parts = fields.entries as unknown[];
  if (!Array.isArray(parts) || parts.length % 3 !== 0) throw refuse("its entries are incomplete");
  const entries: Entry[] = [];
  let index = fields.prevIndex as number;
  for (let at = 0; at < parts.length; at += 3) {
    const [term, kind, data] = [parts[at], parts[at + 1], parts[at + 2]];
    const type = isCount(kind) ? ENTRY_TYPES[kind] : undefined;
    if (!isCount(term) || type === undefined || !(data instanceof Uint8Array)) {
      throw refuse("an entry is not one");
    }
    // The decoder's bytes are a view of the whole frame, which must not stay in memory for one entry.
    entries.push({ index: ++index, term, type, data: data.slice() });
  }
  return entries;
}

function checkSnapshot(snapshot: Record<string, unknown>): void {
  const conf = record(snapshot.confState, "membership");
  const isList = (list: unknown) => Array.isArray(list) && list.every(isCount);
  if (
    !isCount(snapshot.term) || !isCount(snapshot.index) || !CONF_LISTS.every((name) => isList(conf[name]))
  ) {
    throw refuse("its membership is incomplete");
  }
}

/** An index, term, ID or count: a number that is exact. */
function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && value as number >= 0;
}

/** HOST:PORT, as it may be dialled, shown and logged. */
export function isAddress(value: unknown): value is string {
  return typeof value === "string" && value.length <= MAX_ADDRESS_LENGTH && isShowable(value);
}

function record(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw refuse(`${what} is not an object`);
}

function refuse(problem: string): CoveyError {
  return new CoveyError("invalid_argument", `Cannot read a Raft message: ${problem}`);
}
