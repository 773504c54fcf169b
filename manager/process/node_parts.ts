/** What joining and changes of the role work on. */
import type { IdentityStore } from "../../security/mod.ts";
import type { NodeContext } from "./node_context.ts";
import type { NodeLife } from "./node_life.ts";
import type { MembershipFile } from "./membership_file.ts";
import type { Vault } from "./vault.ts";
import type { RunningNode } from "./running_node.ts";

/** The parts of one node. */
export interface NodeParts {
  context: NodeContext;
  life: NodeLife;
  running: RunningNode;
  state: MembershipFile;
  identities: IdentityStore;
  vault: Vault;
}
