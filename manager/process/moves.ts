/** A machine that gets another address while its manager runs: the manager goes on there, as if it had been started with it. */
import { getLogger } from "@logtape/logtape";
import { sleep } from "../../api/clock.ts";
import { deepEqual } from "../../api/deep_equal.ts";
import { CoveyError } from "../../api/errors.ts";
import { followMachine } from "./addresses.ts";
import type { NodeMembership } from "./membership_file.ts";
import type { NodeParts } from "./node_parts.ts";

/** How often the machine's addresses are looked at: a question to the kernel, which a manager has all day. */
const LOOK_MS = 2_000;
/** A machine may have no address, or another one, for a moment: so many looks in a row have to say the same. */
const LOOKS = 3;

const logger = getLogger(["covey", "node"]);

/** Looks at the machine's addresses while the node is a manager, and has it go on at another one. */
export class Moves {
  readonly #parts: NodeParts;
  readonly #goOn: (membership: NodeMembership) => Promise<void>;
  #watching: AbortController | undefined;

  /** `goOn` starts the node as `membership` says, with nothing of it running. */
  constructor(parts: NodeParts, goOn: (membership: NodeMembership) => Promise<void>) {
    this.#parts = parts;
    this.#goOn = goOn;
  }

  start(): void {
    this.#watching ??= new AbortController();
    void this.#watch(this.#watching.signal).catch(() => {});
  }

  stop(): void {
    this.#watching?.abort();
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { context } = this.#parts;
    let seen = "", looks = 0;
    while (true) {
      await sleep(context.clock, LOOK_MS, signal);
      // Where it cannot be written down now, with the next look.
      await this.#remember().catch(() => {});
      const advertise = this.#elsewhere() ?? "";
      looks = advertise === seen ? looks + 1 : 1;
      seen = advertise;
      if (advertise === "" || looks < LOOKS) continue;
      await this.#move().catch((thrown) => context.onFatal(CoveyError.from(thrown)));
      looks = 0;
    }
  }

  /** Notes that the address is the machine's own, for as long as that can be seen. */
  async #remember(): Promise<void> {
    const { life, state, context } = this.#parts;
    const news = () => {
      const { membership } = life;
      if (membership?.role !== "manager" || life.phase !== "active") return undefined;
      const next = followMachine(membership, context.interfaces());
      const isNew = next.advertise === membership.advertise && !deepEqual(next.ownHosts, membership.ownHosts);
      return isNew ? { ...membership, ...next } : undefined;
    };
    if (news() === undefined) return;
    await life.enqueue(async () => {
      const membership = news();
      if (membership === undefined) return;
      await state.save(membership);
      life.membership = membership;
    });
  }

  /** Where the manager is now, if that is not where it says. */
  #elsewhere(): string | undefined {
    const { life: { membership, phase }, context } = this.#parts;
    if (membership?.role !== "manager" || phase !== "active") return undefined;
    const { advertise } = followMachine(membership, context.interfaces());
    return advertise === membership.advertise ? undefined : advertise;
  }

  async #move(): Promise<void> {
    const { life, running, state, context } = this.#parts;
    await life.enqueue(async () => {
      const before = life.membership;
      if (life.signal.aborted || before === undefined || this.#elsewhere() === undefined) return;
      const membership: NodeMembership = { ...before, ...followMachine(before, context.interfaces()) };
      logger.warn("This machine has moved: manager {nodeID} was at {before}, and goes on at {now}", {
        nodeID: before.nodeID,
        before: before.advertise,
        now: membership.advertise,
      });
      life.waits(membership, "Moves to its machine's new address");
      await running.halt({ leave: false });
      await state.save(membership);
      await this.#goOn(membership);
    });
  }
}
