/** Docker's own words, which stock clients and their users know; each stands here once. */

/** A swarm without a leader (SwarmKit `raft.go`). */
export const NO_LEADER =
  "The swarm does not have a leader. It's possible that too few managers are online. " +
  "Make sure more than half of the managers are online.";

/** Init or join on a node that is in a swarm already. */
export const ALREADY_IN_SWARM =
  'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.';

/** Leave on a node that is in none. */
export const NOT_IN_SWARM = "This node is not part of a swarm";

/** A manager leaves without force; why not follows. */
export const LEAVING_AS_MANAGER =
  "You are attempting to leave the swarm on a node that is participating as a manager. ";

/** Why the last manager may not leave without force. */
export const REMOVING_LAST_MANAGER =
  "Removing the last manager erases all current state of the swarm. Use `--force` to ignore this message.";

/** Any request of the swarm on a locked manager. */
export const SWARM_LOCKED = "Swarm is encrypted and needs to be unlocked before it can be used. " +
  'Please use "docker swarm unlock" to unlock it.';

/** Unlock with another key. */
export const WRONG_UNLOCK_KEY = "swarm could not be unlocked: invalid key provided";

/** A request of the swarm on a node that is no manager; what to do about it follows. */
export const NOT_A_MANAGER = "This node is not a swarm manager. ";
