/** Changes of the membership, as the leader makes them: one after another, each only if the quorum survives it. */
import { type Clock, sleep } from "../../../api/clock.ts";
import { CoveyError } from "../../../api/errors.ts";
import { RAFT_METHODS, type RaftHealth } from "../../../api/raft.ts";
import type { Dialer } from "../../../transport/mod.ts";
import type { MemberAddress } from "../disk/disk_storage.ts";
import type { ConfChangeResult, ConfState, MemberChange, MemberID, RaftStatus } from "../../raft/mod.ts";
import type { MemberTable } from "./member_table.ts";
import { dialPeer } from "../peers/peer_link.ts";

/** Longest wait for an earlier change, or a new leader's first entry, to be done. */
const CHANGE_TIMEOUT_MS = 10_000;
/** How often that is looked at. */
const RETRY_MS = 50;
/** Longest wait for a new manager to answer at the address it gave (SwarmKit: 5 s). */
const DIAL_BACK_TIMEOUT_MS = 5_000;

/** Everybody in a membership. */
export function memberIDs(conf: ConfState): Set<MemberID> {
  return new Set([...conf.voters, ...conf.votersOutgoing, ...conf.learners, ...conf.learnersNext]);
}

/** This member's driver, as far as a change of the membership needs it. */
export interface MembershipDriver {
  readonly confState: ConfState;
  readonly members: MemberTable;
  /** Whether this member leads, and may write. */
  readonly serving: boolean;
  status(): RaftStatus;
  proposeAddress(member: MemberAddress): Promise<number>;
  changeMembers(changes: readonly MemberChange[]): ConfChangeResult & { done?: Promise<number> };
  transferLeadership(memberID: MemberID): boolean;
}

/** What membership changes need. */
export interface MembershipOptions {
  driver: MembershipDriver;
  self: MemberAddress;
  clock: Clock;
  dialer: Dialer;
  /** What a member last said of its address. */
  learned: (id: MemberID) => { nodeID: string; address: string } | undefined;
}

/** Only the leader may call these; others get `unavailable`. */
export class MembershipChanges {
  readonly #options: MembershipOptions;
  #last: Promise<unknown> = Promise.resolve();
  /** A change that nobody waits for is under way. */
  #busy = false;

  constructor(options: MembershipOptions) {
    this.#options = options;
  }

  /**
   * Adds a member, as a learner first; or takes note of its new address. Another member of the same node is replaced:
   * it lost its storage. Throws `failed_precondition` if it was removed before, or does not answer at its address.
   */
  add(member: MemberAddress): Promise<void> {
    return this.#inTurn(async () => {
      const { driver } = this.#options;
      const { memberID, nodeID, address } = member;
      if (driver.confState.removed.includes(memberID)) {
        throw new CoveyError(
          "failed_precondition",
          `Cannot add manager ${nodeID}: member ${memberID} was removed, and never comes back`,
        );
      }
      const known = driver.members.get(memberID);
      const isKnown = known?.address === address && known.nodeID === nodeID;
      // It asks again, as the answer was lost. It may be counted on by now, whether it can be reached at the moment or not.
      if (isKnown && memberIDs(driver.confState).has(memberID)) return;
      await this.#dialBack(member);
      const ids = memberIDs(driver.confState);
      if (!isKnown) await driver.proposeAddress(member);
      if (ids.has(memberID)) return;
      const replaced = driver.members.ofNode(nodeID).filter((each) =>
        each.memberID !== memberID && ids.has(each.memberID)
      );
      await this.#change([
        ...replaced.map(({ memberID: id }): MemberChange => ({ op: "remove", id })),
        { op: "add_learner", id: memberID },
      ]);
    });
  }

  /**
   * Removes the members of a node. Throws `failed_precondition` where the rest could not go on, and `unavailable`
   * while this member, being the one to be removed, hands over leadership.
   */
  remove(nodeID: string): Promise<void> {
    return this.#inTurn(async () => {
      const { driver, self } = this.#options;
      const ids = memberIDs(driver.confState);
      const doomed = driver.members.ofNode(nodeID).filter(({ memberID }) => ids.has(memberID));
      if (doomed.length === 0) return;
      if (ids.size === doomed.length) {
        throw new CoveyError("failed_precondition", `Cannot remove manager ${nodeID}: it is the last one`);
      }
      if (nodeID === self.nodeID) {
        this.handOver();
        throw new CoveyError("unavailable", "Cannot remove the leader: leadership is being handed over");
      }
      await this.#change(doomed.map(({ memberID: id }) => ({ op: "remove", id })));
    });
  }

  /** Begins to hand leadership to the member that lacks least; false if there is nobody. */
  handOver(): boolean {
    const { driver, self } = this.#options;
    const { voters } = driver.confState;
    const best = driver.status().members
      .filter(({ id, active }) => active && id !== self.memberID && voters.includes(id))
      .sort((a, b) => b.match - a.match)[0];
    return best !== undefined && driver.transferLeadership(best.id);
  }

  /** Promotes a learner that has caught up, and notes addresses that changed. To be called on every tick. */
  tick(): void {
    const { driver } = this.#options;
    if (!driver.serving || this.#busy) return;
    const step = this.#promotion() ?? this.#moved();
    if (step === undefined) return;
    this.#busy = true;
    // Whatever failed is tried again with a later tick, by this leader or the next.
    step.catch(() => {}).finally(() => this.#busy = false);
  }

  #promotion(): Promise<unknown> | undefined {
    const { driver } = this.#options;
    for (const id of driver.confState.learners) {
      const result = driver.changeMembers([{ op: "add_voter", id }]);
      if (result.ok) return result.done;
    }
    return undefined;
  }

  #moved(): Promise<unknown> | undefined {
    const { driver, self, learned } = this.#options;
    for (const memberID of memberIDs(driver.confState)) {
      const says = memberID === self.memberID ? self : learned(memberID);
      if (says === undefined || driver.members.get(memberID)?.address === says.address) continue;
      return driver.proposeAddress({ memberID, nodeID: says.nodeID, address: says.address });
    }
    return undefined;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }

  async #dialBack({ memberID, nodeID, address }: MemberAddress): Promise<void> {
    const { dialer } = this.#options;
    try {
      const connection = await dialPeer(dialer, { nodeID, address }, DIAL_BACK_TIMEOUT_MS);
      try {
        const health = await connection.call<RaftHealth>(RAFT_METHODS.health, {}, {
          timeoutMs: DIAL_BACK_TIMEOUT_MS,
        });
        if (health.MemberID !== memberID) throw new Error(`member ${health.MemberID} answers there`);
      } finally {
        connection.close();
      }
    } catch (cause) {
      throw new CoveyError(
        "failed_precondition",
        `Cannot add manager ${nodeID}: it does not answer at ${address}: ${CoveyError.from(cause).message}`,
        { cause },
      );
    }
  }

  async #change(changes: MemberChange[]): Promise<void> {
    const { driver, clock } = this.#options;
    const deadline = clock.monotonic() + CHANGE_TIMEOUT_MS;
    while (true) {
      const result = driver.changeMembers(changes);
      if (result.ok) {
        await result.done;
        return;
      }
      const { reason, detail } = result;
      if (reason === "would_lose_quorum" || reason === "invalid") {
        throw new CoveyError("failed_precondition", `Cannot change the managers: ${detail}`);
      }
      if (reason === "not_leader" || reason === "transferring" || clock.monotonic() >= deadline) {
        throw new CoveyError("unavailable", `Cannot change the managers: ${detail}`);
      }
      await sleep(clock, RETRY_MS);
    }
  }
}
