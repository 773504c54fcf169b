/** Consensus by a Raft quorum: the driver of the core in `raft/`, its streams between managers, and its membership. */
export { RaftMember, type RaftMemberOptions } from "./raft_member.ts";
export type { Skip } from "./skipping.ts";
