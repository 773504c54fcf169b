/**
 * Where a node stands between being alone and being in a cluster, and the queue of what changes that.
 *
 *     inactive --- init, join, start ---> pending --- in, and at work ---> active
 *       ^  ^                              |  |  ^                             |
 *       |  '--- failed, no membership ----'  |  '--- a manager no more, ------'
 *       |                                    |       until it is a worker
 *       |                                    '--- failed, with a membership ---> error
 *       '--- leave, from anywhere
 *
 * A node whose keys are locked starts as `locked`, from where an unlock leads to `pending`.
 */
import { SWARM_LOCKED } from "../../api/docker_texts.ts";
import type { LocalNodeState } from "../http/lifecycle.ts";
import type { NodeMembership } from "./membership_file.ts";

/** The node's membership as its parts see it; what changes it runs through {@linkcode NodeLife.enqueue}. */
export class NodeLife {
  membership: NodeMembership | undefined;
  phase: LocalNodeState = "inactive";
  /** Why the node is in error, or what it waits for. */
  error = "";
  #abort = new AbortController();
  #busy: Promise<unknown> = Promise.resolve();

  /** Ends what waits for other managers: the node leaves, or its process ends. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** In the cluster, and at work. */
  arrived(membership: NodeMembership): void {
    this.membership = membership;
    this.phase = "active";
    this.error = "";
  }

  /** On the way in, or between two roles. */
  waits(membership: NodeMembership, why: string): void {
    this.membership = membership;
    this.phase = "pending";
    this.error = why;
  }

  /** In a cluster, and not to be started before it is unlocked. */
  locked(membership: NodeMembership): void {
    this.membership = membership;
    this.phase = "locked";
    this.error = SWARM_LOCKED;
  }

  /** Stuck, or out if there is no membership. */
  failed(why: string): void {
    this.phase = this.membership ? "error" : "inactive";
    this.error = why;
  }

  /** In no cluster any more. */
  left(): void {
    this.membership = undefined;
    this.phase = "inactive";
    this.error = "";
  }

  /** Ends what waits; what is enqueued from now on until {@linkcode resume} sees an aborted signal. */
  abort(): void {
    this.#abort.abort();
  }

  /** Lets things wait again. */
  resume(): void {
    this.#abort = new AbortController();
  }

  /** Runs `work` after everything that was enqueued before. */
  enqueue<R>(work: () => Promise<R>): Promise<R> {
    const run = this.#busy.then(work);
    this.#busy = run.catch(() => {});
    return run;
  }
}
