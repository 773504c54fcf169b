/** How a node gets into a cluster that exists: a certificate first, then, for a manager, its place in the quorum. */
import { SayOnce } from "../../api/say_once.ts";
import { getLogger } from "@logtape/logtape";
import { CoveyError } from "../../api/errors.ts";
import { joinCluster, type JoinOptions, type NodeIdentity, RemoteCA } from "../../security/mod.ts";
import type { JoinRequest } from "../http/lifecycle.ts";
import { withPort } from "./options.ts";
import { requestedAddresses } from "./addresses.ts";
import { withoutNames } from "./look_up.ts";
import type { NodeParts } from "./node_parts.ts";
import type { NodeMembership } from "./membership_file.ts";
import type { RunningManager } from "../server/running_manager.ts";
import { enterQuorum, keepEntering, withdraw } from "./quorum_entry.ts";

const logger = getLogger(["covey", "node"]);

/**
 * Joins a cluster, or goes on with a join. All of it runs in the queue of {@linkcode NodeLife}, except that a manager which
 * keeps asking to be let in waits outside of it.
 */
export class Joining {
  readonly #parts: NodeParts;

  /** True while a manager is asked for a certificate: this can be ended, and leaves nothing. */
  asks = false;

  constructor(parts: NodeParts) {
    this.#parts = parts;
  }

  /**
   * Joins; a failure leaves no trace, neither here nor in the cluster. Where the cluster may count on this manager
   * already, it goes on in the background instead, and the result is the error that says so.
   */
  async join(request: JoinRequest): Promise<CoveyError | undefined> {
    const { life, running, state, identities } = this.#parts;
    await state.checkVacant();
    const { identity, membership } = await this.#admission(request);
    if (membership.role === "manager") return await this.#joinAsManager(identity, membership);
    try {
      await identities.save(identity);
      await state.save(membership);
      await running.work(membership);
    } catch (thrown) {
      await this.#wipe();
      throw thrown;
    }
    life.arrived(membership);
    return undefined;
  }

  /** Goes on where a start before this one ended; resolves when it is in, or goes on in the background. */
  async resume(membership: NodeMembership): Promise<void> {
    const { life, running } = this.#parts;
    if (running.manager!.consensus.isVoter) {
      await running.attend(membership);
      return life.arrived(membership);
    }
    this.#goOn(membership, "Waits to be let into the managers");
  }

  async #admission(request: JoinRequest): Promise<{ identity: NodeIdentity; membership: NodeMembership }> {
    const { context: { options, clock, interfaces, lookUp }, identities } = this.#parts;
    const addresses = requestedAddresses(request, options, interfaces());
    const managers = await withoutNames(request.RemoteAddrs.map((address) => withPort(address)), lookUp);
    const availability = request.Availability ?? "active";
    // A certificate without a membership is of a join that was cut short: its key leads to the same node again.
    const before = await identities.load().catch(() => undefined);
    const identity = await this.#askFor(managers, {
      token: request.JoinToken,
      privateKeyPEM: before?.privateKeyPEM ?? await identities.pendingKey(),
      availability,
      clock,
    });
    const membership: NodeMembership = {
      nodeID: identity.nodeID,
      clusterID: identity.clusterID,
      ...(identity.role === "swarm-manager" ? { role: "manager", joined: true } : { role: "worker" }),
      ...addresses,
      managers,
      availability,
    };
    return { identity, membership };
  }

  /** A certificate from `managers`; says what keeps it waiting. Throws `canceled` if the node leaves or ends meanwhile. */
  async #askFor(
    managers: string[],
    join: Pick<JoinOptions, "token" | "privateKeyPEM" | "availability" | "clock">,
  ): Promise<NodeIdentity> {
    const { life } = this.#parts, { signal } = life;
    const ca = new RemoteCA({ addresses: () => managers, clock: join.clock });
    const said = new SayOnce();
    const told = async <R>(call: Promise<R>): Promise<R> => {
      try {
        return await call;
      } catch (thrown) {
        const { message, retryable } = CoveyError.from(thrown);
        if (retryable && !signal.aborted) {
          if (said.isNew(message)) logger.warn("Cannot join yet, trying again: {message}", { message });
          life.error = message;
        }
        throw thrown;
      }
    };
    life.error = `Asks ${managers.join(", ")} for a certificate`;
    this.asks = true;
    logger.info("Joining the cluster of {managers}", { managers: managers.join(", ") });
    try {
      return await joinCluster({
        ...join,
        signal,
        getRootCA: (check) => told(ca.getRootCA(check, signal)),
        issueNodeCertificate: (issue, root) => told(ca.issueNodeCertificate(issue, root, signal)),
      });
    } catch (thrown) {
      if (signal.aborted) {
        throw new CoveyError("canceled", "Cannot join: it was ended before a manager answered");
      }
      throw thrown;
    } finally {
      this.asks = false;
    }
  }

  async #joinAsManager(identity: NodeIdentity, membership: NodeMembership): Promise<CoveyError | undefined> {
    const { life, running, state, identities } = this.#parts;
    const { managers } = membership;
    try {
      await identities.save(identity);
      await state.save(membership);
      await running.openManager(membership);
      await running.listen(membership);
    } catch (thrown) {
      if (running.manager) await withdraw(running.manager.consensus, managers);
      await this.#wipe();
      throw thrown;
    }
    life.waits(membership, "Waits to be let into the managers");
    const entry = await enterQuorum(running.manager!.consensus, managers, life.signal);
    if (entry.is === "in") {
      await running.attend(membership);
      life.arrived(membership);
      return undefined;
    }
    if (entry.is === "out") {
      await this.#wipe();
      throw entry.failure;
    }
    this.#goOn(membership, entry.failure.message);
    return goesOn(entry.failure);
  }

  /** Asks until this manager votes, is removed, the node leaves or the process ends. */
  #goOn(membership: NodeMembership, why: string): void {
    const { context: { clock }, life, running } = this.#parts;
    const manager = running.manager!;
    const gone = new AbortController();
    void manager.consensus.removed.then(() => gone.abort());
    const signal = AbortSignal.any([life.signal, gone.signal]);
    const said = new SayOnce();
    const onFailure = (message: string) => {
      if (said.isNew(message)) logger.warn("Cannot join the managers yet: {message}", { message });
      life.waits(membership, message);
    };
    life.waits(membership, why);
    const done = keepEntering(manager.consensus, membership.managers, { clock, signal, onFailure });
    done.then(() => life.enqueue(() => this.#arrive(membership, manager, signal)), () => {});
  }

  async #arrive(membership: NodeMembership, manager: RunningManager, signal: AbortSignal): Promise<void> {
    const { life, running } = this.#parts;
    if (signal.aborted || running.manager !== manager) return;
    try {
      await running.attend(membership);
      life.arrived(membership);
    } catch (thrown) {
      life.failed((thrown as Error).message);
      logger.error("Cannot go on: {message}", { message: life.error });
    }
  }

  async #wipe(): Promise<void> {
    const { life, running, state, vault } = this.#parts;
    await running.halt({ leave: false });
    await state.wipe();
    await vault.forget();
    life.left();
  }
}

/** Docker's words for a join that takes too long. */
function goesOn(cause: CoveyError): CoveyError {
  return new CoveyError(
    "unavailable",
    "Timeout was reached before node joined. The attempt to join the swarm will continue in the background. " +
      `Use the "docker info" command to see the current swarm status of your node. (${cause.message})`,
    { cause },
  );
}
