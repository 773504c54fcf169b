/** Everything that may be called at a manager's port. */
import { RAFT_METHODS } from "../../api/raft.ts";
import type { Clock } from "../../api/clock.ts";
import type { Random } from "../../api/random.ts";
import { createRouter, type Method, type Router } from "../../transport/mod.ts";
import { CAServer } from "../ca/mod.ts";
import { StoreCABackend } from "../ca/store_backend.ts";
import type { Dispatcher } from "../dispatcher/mod.ts";
import type { RaftMember } from "../consensus/member/mod.ts";
import type { Routing } from "../forward/mod.ts";
import type { Store } from "../store/mod.ts";
import { withdrawMethod } from "../roles/withdrawal.ts";
import { JudgingRouter } from "./judging_router.ts";
import type { Judge } from "./standing.ts";

/** The parts that answer. */
export interface ManagerRouterOptions {
  store: Store;
  judge: Judge;
  consensus: RaftMember;
  dispatcher: Dispatcher;
  routing: Routing;
  clock: Clock;
  random: Random;
}

/** The calls of nodes, of joiners and of other managers; each says who may make it, and the store whether that still holds. */
export function managerRouter(options: ManagerRouterOptions): Router {
  const { store, judge, consensus, dispatcher, routing, clock, random } = options;
  const ca = new CAServer({ backend: new StoreCABackend(store), clock, random, leader: routing.caLeader });
  const router = new JudgingRouter({
    router: createRouter(),
    judge,
    farewell: (refusal) => consensus.farewell(refusal),
  });
  for (const { name, ...method } of ca.methods()) router.register(name, method as Method);
  const calls = {
    ...routing.methods(dispatcher.methods()),
    ...consensus.methods(),
    [RAFT_METHODS.withdraw]: withdrawMethod(consensus, store),
  };
  for (const [name, method] of Object.entries(calls)) router.register(name, method);
  return router;
}
