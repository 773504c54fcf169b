/** What a node is handed from outside. */
import type { Caller } from "../control/caller.ts";
import type { Clock } from "../../api/clock.ts";
import type { Random } from "../../api/random.ts";
import type { ManagerOptions } from "./options.ts";
import type { LookUp } from "./look_up.ts";
import type { NetworkInterface } from "./addresses.ts";

/** What the node works with. */
export interface NodeContext {
  options: ManagerOptions;
  clock: Clock;
  random: Random;
  /** The control API's answer to what another manager handed on. */
  answer: (request: Request, caller: Caller) => Response | Promise<Response>;
  /** Path of the agent's launcher. */
  agentLauncher: string;
  agentEnv: Record<string, string>;
  /** Covey's version. */
  version: string;
  /** The machine's name. */
  hostname: () => string;
  interfaces: () => NetworkInterface[];
  lookUp: LookUp;
  /** The state cannot be trusted any more: the process must end. */
  onFatal: (error: Error) => void;
}
