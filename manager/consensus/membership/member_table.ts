/** Where members are, as the log says it. Who votes is Raft's to say. */
import type { MemberAddress } from "../disk/disk_storage.ts";
import type { ConfState, MemberID } from "../../raft/mod.ts";

/** Members by ID. */
export class MemberTable {
  readonly #members = new Map<MemberID, MemberAddress>();

  get(id: MemberID): MemberAddress | undefined {
    return this.#members.get(id);
  }

  /** The members of a node; more than one while a reinstalled manager replaces its old self. */
  ofNode(nodeID: string): MemberAddress[] {
    return [...this.#members.values()].filter((member) => member.nodeID === nodeID);
  }

  all(): MemberAddress[] {
    return [...this.#members.values()];
  }

  set(member: MemberAddress): void {
    this.#members.set(member.memberID, member);
  }

  /** Takes over all that a snapshot or the disk says. */
  replace(members: readonly MemberAddress[]): void {
    this.#members.clear();
    for (const member of members) this.set(member);
  }

  /** Forgets those that were removed. */
  prune({ removed }: ConfState): void {
    for (const id of removed) this.#members.delete(id);
  }
}
