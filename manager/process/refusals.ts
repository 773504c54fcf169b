/** What a node refuses because of the membership it has, in Docker's words where Docker has them. */
import {
  ALREADY_IN_SWARM,
  LEAVING_AS_MANAGER,
  NOT_IN_SWARM,
  REMOVING_LAST_MANAGER,
  SWARM_LOCKED,
  WRONG_UNLOCK_KEY,
} from "../../api/docker_texts.ts";
import { CoveyError } from "../../api/errors.ts";

const refuse = (message: string) => new CoveyError("failed_precondition", message, { reason: "wrong_state" });

export const alreadyInSwarm = () => refuse(ALREADY_IN_SWARM);

export const notInSwarm = () => refuse(NOT_IN_SWARM);

export const leavingAsManager = () => refuse(LEAVING_AS_MANAGER + REMOVING_LAST_MANAGER);

export const forcedByWorker = () => refuse("Cannot start a new cluster by force: this node is a worker");

export const swarmLocked = () => new CoveyError("unavailable", SWARM_LOCKED);

export const notLocked = () => refuse("swarm is not locked");

export const wrongUnlockKey = () => new CoveyError("unauthenticated", WRONG_UNLOCK_KEY);
