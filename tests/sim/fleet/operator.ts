/** Who runs the fleet: releases good versions and bad ones, and does about them what a sensible person would. */
import { CoveyError } from "../../../api/errors.ts";
import type { Node } from "../../../api/node.ts";
import type { Rollout } from "../../../api/rollout.ts";
import type { Service } from "../../../api/service.ts";
import { controlRollout, type RolloutAction } from "../../../manager/control/rollouts.ts";
import { createService, rollbackService, updateService } from "../../../manager/control/services.ts";
import { isWanted } from "../../../manager/task/task.ts";
import type { World } from "../cluster/world.ts";
import type { SeededRandom } from "../raft/random.ts";
import type { FleetChecker } from "./checker.ts";
import type { Managers } from "./managers.ts";
import { SERVICE, specOf } from "./policies.ts";
import { BAD, type Kind, kindOf, versionName, versionOf } from "./versions.ts";

/** Between two looks at a rollout, and how long one is looked after, milliseconds. */
const LOOK_MS = 5_000, PATIENCE_MS = 4 * 60_000;
const RETRY_MS = 1_000;
/** Of the looks at a rollout of which devices have failed, how many end in another try there. */
const RETRY_SHARE = 0.05;
const ROUNDS = { least: 1, most: 2 };

/** One such person. */
export class FleetOperator {
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly #managers: Managers;
  readonly #checker: FleetChecker;
  readonly #devices: number;
  #count = 0;

  constructor(
    world: World,
    managers: Managers,
    checker: FleetChecker,
    devices: number,
    readonly swaps = false,
  ) {
    this.#world = world;
    this.#random = world.fork();
    this.#managers = managers;
    this.#checker = checker;
    this.#devices = devices;
  }

  get service(): Service | undefined {
    return this.#managers.store.find("services", "name", SERVICE)[0];
  }

  /** A bad version is somewhere: what mends it must not wait until more devices are well. */
  get #isBroken(): boolean {
    return this.#managers.store.all("tasks").some((task) =>
      isWanted(task) && kindOf(versionOf(task)) !== "good"
    );
  }

  get rollout(): Rollout | undefined {
    return this.service?.UpdateStatus?.Rollout;
  }

  async create(): Promise<void> {
    const spec = specOf(versionName(++this.#count, "good"), this.#devices, this.#random, true, this.swaps);
    const random = {
      float: this.#random.next,
      bytes: (length: number) => Uint8Array.from({ length }, () => this.#random.next() * 256),
    };
    const { store, clock } = this.#managers;
    await this.#insist(() =>
      this.service ? Promise.resolve() : createService(store, { clock, random }, spec)
    );
  }

  /** Some releases, one after another, each of which is looked after for a while. */
  async work(): Promise<void> {
    const random = this.#random;
    for (let rounds = random.between(ROUNDS.least, ROUNDS.most); rounds > 0; rounds--) {
      await this.release(random.chance(0.5) ? "good" : random.pick(BAD));
      await this.#lookAfter();
      await this.#world.sleep(random.next() * 30_000);
    }
  }

  async release(kind: Kind): Promise<void> {
    const { store, clock } = this.#managers;
    const version = versionName(++this.#count, kind);
    const spec = specOf(version, this.#devices, this.#random, !this.#isBroken, this.swaps);
    this.#world.log.note(`releases ${version}: ${JSON.stringify([spec.Labels, spec.UpdateConfig])}`);
    await this.#insist(async () => {
      const { ID, Version, Spec } = this.service!;
      if (versionOf({ Spec: Spec.TaskTemplate }) === version) return;
      await updateService(store, clock, ID, Version.Index, spec);
    });
  }

  /** Sees it through, until it is done or its time is over; a bad one is left where it stands, or done away with. */
  async #lookAfter(): Promise<void> {
    const random = this.#random, end = this.#world.now + random.next() * PATIENCE_MS;
    while (this.#world.now < end && !this.#world.calm) {
      await this.#world.sleep(LOOK_MS);
      const { rollout } = this;
      if (rollout?.State === "completed") return;
      if (random.chance(0.02)) return this.#meddle();
      await this.help();
    }
    if (random.chance(0.2)) await this.control("abort");
  }

  async #meddle(): Promise<void> {
    const random = this.#random;
    if (random.chance(0.4)) return this.control("abort");
    if (random.chance(0.3)) return this.#rollBack();
    await this.control("pause");
    await this.#world.sleep(random.next() * 120_000);
    await this.help();
  }

  /** Does what a good version waits for. */
  async help(): Promise<void> {
    const { service, rollout } = this;
    if (service === undefined || rollout === undefined) return;
    if (service.UpdateStatus!.State.startsWith("rollback")) return;
    if (kindOf(versionOf({ Spec: service.Spec.TaskTemplate })) !== "good") return;
    const hasFailed = rollout.Failures.length > 0 && !this.#world.calm;
    if (hasFailed && this.#random.chance(RETRY_SHARE)) return this.control("retry");
    if (rollout.State === "awaiting_promotion") await this.control("promote");
    else if (rollout.State === "paused" || rollout.State === "timed_out") await this.control("resume");
  }

  /** Says it to the rollout, if it makes sense. */
  async control(action: RolloutAction): Promise<void> {
    const { store, clock } = this.#managers;
    const { ID } = this.service!;
    await this.#insist(async () => {
      try {
        await controlRollout(store, clock, ID, action);
        this.#world.log.note(`operator: ${action}`);
      } catch (error) {
        // It was done already, or came to its end meanwhile.
        if (!(error instanceof CoveyError) || error.code !== "failed_precondition") throw error;
      }
    });
  }

  async #rollBack(): Promise<void> {
    const { store, clock } = this.#managers;
    const { ID, Version, PreviousSpec } = this.service!;
    if (PreviousSpec === undefined) return;
    this.#world.log.note("operator: rollback");
    this.#checker.rollsBack = true;
    try {
      await rollbackService(store, clock, ID, Version.Index);
    } catch {
      // What came between, or whether it was done, a person would look at.
    }
  }

  setNode(name: string, Availability: Node["Spec"]["Availability"]): Promise<void> {
    return this.#insist(() =>
      this.#managers.store.update((tx) => {
        const node = tx.get("nodes", name);
        if (node === undefined || node.Spec.Availability === Availability) return;
        tx.update("nodes", { ...node, Spec: { ...node.Spec, Availability } });
      })
    );
  }

  /** Until somebody leads who does it. */
  async #insist(deed: () => Promise<unknown>): Promise<void> {
    while (true) {
      try {
        return void await deed();
      } catch (error) {
        const { code } = CoveyError.from(error);
        if (code !== "unavailable" && code !== "unknown" && code !== "aborted") throw error;
      }
      await this.#world.sleep(RETRY_MS);
    }
  }
}
