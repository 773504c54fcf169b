/**
 * Finds out that two devices have one node's key, as after a state folder or an SD card was copied: each agent names itself
 * anew when it starts, and one that comes back after another had its place was never gone. The first is kept, the other
 * kept out. Pure; another leader finds it out anew.
 */

/** Agents remembered of one node: each start of an agent is one more, and twins come again within seconds. */
const MAX_AGENTS = 16;

interface Agents {
  present: string;
  /** Those whose place another took. */
  readonly before: Set<string>;
  readonly keptOut: Set<string>;
}

/** What is known of the agent that opens a session. */
export type Verdict =
  | "fine"
  /** Another has its place, and has to give it back. */
  | "back"
  /** It is to be kept out. */
  | "twin";

/** The agents that have opened sessions, by node. */
export class Twins {
  readonly #nodes = new Map<string, Agents>();

  /** The agent `name` of `nodeID` opens a session; `live`: the node has one. */
  open(nodeID: string, name: string, live: boolean): Verdict {
    const agents = this.#nodes.get(nodeID);
    if (agents === undefined) {
      this.#nodes.set(nodeID, { present: name, before: new Set(), keptOut: new Set() });
      return "fine";
    }
    if (agents.present === name) return "fine";
    if (agents.keptOut.has(name) && live) return "twin";
    const isBack = live && agents.before.has(name);
    // One whose device is off holds nobody's place.
    if (isBack) remember(agents.keptOut, agents.present);
    else remember(agents.before, agents.present);
    agents.before.delete(name);
    agents.keptOut.delete(name);
    agents.present = name;
    return isBack ? "back" : "fine";
  }

  /** Forgets a node. */
  forget(nodeID: string): void {
    this.#nodes.delete(nodeID);
  }
}

function remember(names: Set<string>, name: string): void {
  names.add(name);
  const [oldest] = names;
  if (names.size > MAX_AGENTS) names.delete(oldest!);
}
