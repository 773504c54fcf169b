/** What a node refuses because of the membership it has, in Docker's words where Docker has them. */
import { CoveyError } from "../../api/errors.ts";

const refuse = (message: string) => new CoveyError("failed_precondition", message, { reason: "wrong_state" });

export const alreadyInSwarm = () =>
  refuse(
    'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.',
  );

export const notInSwarm = () => refuse("This node is not part of a swarm");

export const leavingAsManager = () =>
  refuse(
    "You are attempting to leave the swarm on a node that is participating as a manager. Removing the last manager erases all current state of the swarm. Use `--force` to ignore this message.",
  );

export const forcedByWorker = () => refuse("Cannot start a new cluster by force: this node is a worker");
