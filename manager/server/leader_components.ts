/** Everything that runs on the leader only: made from the store alone for each term, in the order in which it starts. */
import type { Clock } from "../../api/clock.ts";
import type { Random } from "../../api/random.ts";
import { Allocator, NetworkVoter } from "../allocator/mod.ts";
import type { Dispatcher } from "../dispatcher/mod.ts";
import type { MakeComponent } from "../leader/leadership.ts";
import {
  ConstraintEnforcer,
  GlobalJobOrchestrator,
  GlobalOrchestrator,
  ReplicatedJobOrchestrator,
  ReplicatedOrchestrator,
  TaskReaper,
  VersionReaper,
} from "../orchestrator/mod.ts";
import { RootRotation } from "../ca/mod.ts";
import { Scheduler } from "../scheduler/mod.ts";
import type { Store } from "../store/store.ts";
import { RoleManager, type RoleManagerOptions } from "../roles/role_manager.ts";

/** The dispatcher first, because devices wait for it; then in the order of a task's life. */
export function leaderComponents(
  context: {
    store: Store;
    clock: Clock;
    random: Random;
    dispatcher: Dispatcher;
    members: RoleManagerOptions["members"];
  },
): MakeComponent[] {
  const heard = (nodeID: string) => context.dispatcher.heard(nodeID);
  return [
    () => context.dispatcher,
    () => new ReplicatedOrchestrator(context),
    () => new GlobalOrchestrator({ ...context, heard }),
    () => new ReplicatedJobOrchestrator(context),
    () => new GlobalJobOrchestrator(context),
    () => new ConstraintEnforcer(context),
    () => new Allocator(context, [new NetworkVoter()]),
    () => new Scheduler(context),
    () => new TaskReaper(context),
    () => new VersionReaper(context),
    () => new RoleManager(context),
    () => new RootRotation(context),
  ];
}
