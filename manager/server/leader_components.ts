/** Everything that runs on the leader only: started from the store alone, stopped when leadership is lost. */
import { getLogger } from "@logtape/logtape";
import { type Clock, sleep } from "../../api/clock.ts";
import type { Random } from "../../api/random.ts";
import { Allocator } from "../allocator/mod.ts";
import type { Dispatcher } from "../dispatcher/mod.ts";
import {
  ConstraintEnforcer,
  GlobalOrchestrator,
  ReplicatedOrchestrator,
  TaskReaper,
} from "../orchestrator/mod.ts";
import { Scheduler } from "../scheduler/mod.ts";
import type { Store } from "../store/store.ts";
import { RoleManager, type RoleManagerOptions } from "../roles/role_manager.ts";

const logger = getLogger(["covey", "leader"]);

/** A part of the leader. Both calls resolve when done; a stopped component can be started again. */
export interface LeaderComponent {
  start(): void | Promise<void>;
  stop(): void | Promise<void>;
}

/** The components in the order of a task's life. */
export function leaderComponents(
  context: {
    store: Store;
    clock: Clock;
    random: Random;
    dispatcher: Dispatcher;
    members: RoleManagerOptions["members"];
  },
): LeaderComponent[] {
  return [
    new ReplicatedOrchestrator(context),
    new GlobalOrchestrator(context),
    new ConstraintEnforcer(context),
    new Allocator(context),
    new Scheduler(context),
    new TaskReaper(context),
    new RoleManager(context),
    context.dispatcher,
  ];
}

/** Starts and stops all components as leadership comes and goes, one change at a time. */
export class Leadership {
  readonly #make: () => LeaderComponent[];
  readonly #clock: Clock;
  #components: LeaderComponent[] = [];
  #wanted = false;
  #work: Promise<void> = Promise.resolve();

  constructor(make: () => LeaderComponent[], clock: Clock) {
    this.#make = make;
    this.#clock = clock;
  }

  /** Follows `isLeader`; resolves when the components have followed too. */
  set(isLeader: boolean): Promise<void> {
    if (isLeader !== this.#wanted) {
      this.#wanted = isLeader;
      this.#work = this.#work.then(() => this.#follow()).catch((error) =>
        // Leadership is lost while a component starts: its writes are refused, and the next change follows.
        logger.warn("Cannot start or stop the leader's components: {message}", { message: error.message })
      );
    }
    return this.#work;
  }

  async #follow(): Promise<void> {
    if (this.#wanted === this.#components.length > 0) return;
    if (!this.#wanted || !await this.#start()) await this.#stop();
  }

  /** False if leadership was lost meanwhile. */
  async #start(): Promise<boolean> {
    for (const component of this.#make()) {
      // It counts before it has started, so that it is stopped even if it fails to.
      this.#components.push(component);
      await component.start();
      // A first look at a large state takes tenths of a second: heartbeats and questions have their turn before the next.
      await sleep(this.#clock, 0);
      if (!this.#wanted) return false;
    }
    return true;
  }

  async #stop(): Promise<void> {
    for (const component of this.#components.splice(0).toReversed()) await component.stop();
  }
}
