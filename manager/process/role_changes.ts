/** How a node follows the role that the cluster gives it: a worker turns manager and back, without being reinstalled. */
import { getLogger } from "@logtape/logtape";
import { sleep } from "../../api/clock.ts";
import { type NodeIdentity, RemoteCA } from "../../security/mod.ts";
import type { NodeParts } from "./node_parts.ts";
import type { NodeMembership } from "./membership_file.ts";
import { renewAs } from "./renew_as.ts";
import type { RunningManager } from "../server/running_manager.ts";

/** Pause before a worker that shall be a manager, but could not join the quorum, tries again. */
const PROMOTION_RETRY_MS = 5_000;

const logger = getLogger(["covey", "node"]);

/** Carries out promotion and demotion, one after another in the queue of {@linkcode NodeLife}. */
export class RoleChanges {
  readonly #parts: NodeParts;

  constructor(parts: NodeParts) {
    this.#parts = parts;
  }

  /** A manager of the cluster now: this worker joins the quorum, and goes on as a worker where that fails. */
  async promote(): Promise<void> {
    const { context: { clock }, life, running, state } = this.#parts;
    await life.enqueue(async () => {
      const before = life.membership;
      const { signal } = life;
      if (signal.aborted || before?.role !== "worker") return;
      const managers = running.knownManagers(before);
      const membership: NodeMembership = { ...before, managers, role: "manager", joined: true };
      try {
        const identity = await this.#renewAs("manager", managers);
        await running.halt({ leave: false });
        logger.info("Node {nodeID} becomes a manager", { nodeID: identity.nodeID });
        const { consensus } = await running.openManager(membership);
        await running.listen(membership);
        if (!consensus.isVoter) await consensus.join(managers, signal);
        await running.attend(membership);
        life.arrived(membership);
        await state.save(membership);
      } catch (thrown) {
        if (signal.aborted) return;
        logger.warn("Cannot become a manager yet: {message}", { message: (thrown as Error).message });
        await this.#goBack(before);
        sleep(clock, PROMOTION_RETRY_MS, signal).then(() => this.promote(), () => {});
      }
    });
  }

  /**
   * Never rejects. The raft folder stays: the quorum may count on this member's vote already, so the next attempt must be
   * the same member.
   */
  async #goBack(before: NodeMembership): Promise<void> {
    const { life, running, vault } = this.#parts;
    try {
      await running.halt({ leave: false });
      await vault.takeOff();
      await running.work(before);
      life.arrived(before);
    } catch (thrown) {
      life.failed((thrown as Error).message);
      logger.error("Cannot go on as a worker: {message}", { message: life.error });
    }
  }

  /** The cluster has removed this manager: it goes on as a worker if it was demoted, and stops otherwise. */
  demote(manager: RunningManager): Promise<void> {
    const { life, running, state, identities, vault } = this.#parts;
    return life.enqueue(async () => {
      const before = life.membership;
      if (running.manager !== manager || !before) return;
      const managers = running.remoteManagers(before).filter(({ NodeID }) => NodeID !== before.nodeID)
        .map(({ Addr }) => Addr);
      life.waits(before, "This manager was removed from the cluster");
      logger.warn("Node {nodeID} was removed from the managers", { nodeID: before.nodeID });
      const membership: NodeMembership = { ...before, managers, role: "worker", joined: false };
      try {
        await running.halt({ leave: false });
        await vault.releaseIdentity();
        await this.#renewAs("worker", managers);
        await identities.forgetPrevious();
        await state.wipeRaft();
        await vault.remove();
        await state.save(membership);
        await running.work(membership);
        life.arrived(membership);
      } catch (thrown) {
        if (life.signal.aborted) return;
        const why = (thrown as Error).message;
        life.failed(`This manager was removed from the cluster; leave with --force to join again (${why})`);
        logger.error("{message}", { message: life.error });
      }
    });
  }

  async #renewAs(role: "manager" | "worker", managers: string[]): Promise<NodeIdentity> {
    const { context: { clock }, life, running, identities } = this.#parts;
    const identity = await running.requireIdentity(life.membership!);
    if (identity.role === `swarm-${role}`) return identity;
    const ca = new RemoteCA({ addresses: () => managers, clock });
    return await renewAs(role, identity, { ca, store: identities, clock, signal: life.signal });
  }
}
