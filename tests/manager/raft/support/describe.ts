import {
  decodeConfChange,
  type Entry,
  type Message,
  type RawNode,
  type Ready,
} from "../../../../manager/raft/mod.ts";
import type { ConfState, WriteBatch } from "../../../../manager/raft/mod.ts";

const SIGN = { add_voter: "+", add_learner: "~", remove: "-" } as const;

/** `5/2 "text"`: index, term and data. */
export function describeEntry({ index, term, type, data }: Entry): string {
  const at = `${index}/${term}`;
  if (type === "normal") return data.length === 0 ? at : `${at} "${new TextDecoder().decode(data)}"`;
  const change = decodeConfChange(data);
  if (change.kind === "change") return `${at} ${change.changes.map(({ op, id }) => SIGN[op] + id).join(" ")}`;
  return change.kind === "leave_joint"
    ? `${at} leave-joint`
    : `${at} force ${describeConf(change.confState)}`;
}

/** `voters=1,2 learners=3`; empty lists are left out. */
export function describeConf(conf: ConfState): string {
  const parts: string[] = [];
  const names = {
    voters: "voters",
    votersOutgoing: "outgoing",
    learners: "learners",
    learnersNext: "learners-next",
    removed: "removed",
  } as const;
  for (const key of Object.keys(names) as (keyof ConfState)[]) {
    if (conf[key].length > 0) parts.push(`${names[key]}=${conf[key].join(",")}`);
  }
  return parts.join(" ") || "no members";
}

function list(entries: readonly Entry[]): string {
  return `[${entries.map(describeEntry).join(", ")}]`;
}

function details(message: Message): string {
  switch (message.type) {
    case "pre_vote":
      return `last=${message.lastIndex}/${message.lastTerm}`;
    case "vote":
      return `last=${message.lastIndex}/${message.lastTerm}${message.transfer ? " transfer" : ""}`;
    case "pre_vote_response":
    case "vote_response":
      return message.granted ? "granted" : "refused";
    case "append":
      return `prev=${message.prevIndex}/${message.prevTerm} commit=${message.commit} ${
        list(message.entries)
      }`;
    case "append_response":
      return message.rejected
        ? `rejected=${message.index} hint=${message.hintIndex}/${message.hintTerm}`
        : `accepted=${message.index}`;
    case "heartbeat":
      return `commit=${message.commit}${message.readRound ? ` round=${message.readRound}` : ""}`;
    case "heartbeat_response":
      return message.readRound ? `round=${message.readRound}` : "";
    case "snapshot":
      return `${message.snapshot.index}/${message.snapshot.term} ${describeConf(message.snapshot.confState)}`;
    case "read_index":
      return "";
    case "read_index_response":
      return `index=${message.index}`;
    case "timeout_now":
      return "";
  }
}

/** `1->2 append term=3 …`. */
export function describeMessage(message: Message): string {
  return `${message.from}->${message.to} ${message.type} term=${message.term} ${details(message)}`.trimEnd();
}

/** What reaches the disk. */
export function describeWrite(id: number, batch: WriteBatch): string {
  const { term, vote, commit } = batch.hardState;
  const parts = [`${id} writes term=${term} vote=${vote} commit=${commit}`];
  if (batch.snapshot) parts.push(`snapshot=${batch.snapshot.index}/${batch.snapshot.term}`);
  if (batch.entries.length > 0) parts.push(list(batch.entries));
  return parts.join(" ");
}

/** Everything of `ready` but messages and the write. */
export function describeReady(id: number, ready: Ready): string[] {
  const lines: string[] = [];
  if (ready.softState) {
    lines.push(`${id} is ${ready.softState.role}, leader ${ready.softState.leader || "unknown"}`);
  }
  if (ready.committed.length > 0) lines.push(`${id} applies ${list(ready.committed)}`);
  if (ready.confState) lines.push(`${id} members: ${describeConf(ready.confState)}`);
  for (const { index } of ready.reads) lines.push(`${id} may read at ${index}`);
  if (ready.lostReads.length > 0) lines.push(`${id} loses ${ready.lostReads.length} reads`);
  return lines;
}

/** One line for `status`. */
export function describeStatus(node: RawNode): string[] {
  const status = node.status();
  const { id, role, term, vote, leader, commit, applied, firstIndex, lastIndex } = status;
  const lines = [
    `${id} ${role} term=${term} vote=${vote} leader=${leader} commit=${commit} applied=${applied} ` +
    `log=${firstIndex}..${lastIndex} ${describeConf(status.confState)}`,
  ];
  for (const member of status.members) {
    const { state, match, next, paused, active, inflight } = member;
    const flags = [
      paused ? "paused" : "",
      active ? "" : "silent",
      inflight > 0 ? `inflight=${inflight}` : "",
    ];
    lines.push(
      `  ${member.id}: ${state} match=${match} next=${next} ${flags.filter(Boolean).join(" ")}`.trimEnd(),
    );
  }
  return lines;
}
