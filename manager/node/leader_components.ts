/** Everything that runs on the leader only: started from the store alone, stopped when leadership is lost. */
import type { Clock } from "../../api/clock.ts";
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

/** A part of the leader. Both calls resolve when done; a stopped component can be started again. */
export interface LeaderComponent {
  start(): void | Promise<void>;
  stop(): void | Promise<void>;
}

/** The components in the order of a task's life. */
export function leaderComponents(
  context: { store: Store; clock: Clock; random: Random; dispatcher: Dispatcher },
): LeaderComponent[] {
  return [
    new ReplicatedOrchestrator(context),
    new GlobalOrchestrator(context),
    new ConstraintEnforcer(context),
    new Allocator(context),
    new Scheduler(context),
    new TaskReaper(context),
    context.dispatcher,
  ];
}

/** Starts and stops all components as leadership comes and goes, one change at a time. */
export class Leadership {
  readonly #make: () => LeaderComponent[];
  #components: LeaderComponent[] = [];
  #wanted = false;
  #work: Promise<void> = Promise.resolve();

  constructor(make: () => LeaderComponent[]) {
    this.#make = make;
  }

  /** Follows `isLeader`; resolves when the components have followed too. */
  set(isLeader: boolean): Promise<void> {
    if (isLeader !== this.#wanted) {
      this.#wanted = isLeader;
      this.#work = this.#work.then(() => this.#follow());
    }
    return this.#work;
  }

  async #follow(): Promise<void> {
    if (this.#wanted === this.#components.length > 0) return;
    if (this.#wanted) {
      this.#components = this.#make();
      for (const component of this.#components) await component.start();
    } else {
      const components = this.#components.splice(0);
      for (const component of components.toReversed()) await component.stop();
    }
  }
}
