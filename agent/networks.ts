/** Puts together what keeps the cluster's networks on this node. */
import { systemClock } from "../api/clock.ts";
import { CoveyError } from "../api/errors.ts";
import { getLogger } from "../api/log.ts";
import { systemRandom } from "../api/random.ts";
import type { Task } from "../api/task.ts";
import { networkHelper } from "../network/helper_client.ts";
import { NetworkKeeper } from "../network/keeper.ts";
import type { TasksHere } from "../network/askers.ts";
import type { Resolver } from "../network/resolver.ts";
import { Drains } from "./drains.ts";
import type { AgentOptionsFromFlags } from "./options.ts";
import { RelayService } from "./relay.ts";
import type { StateFolder } from "./state_folder.ts";

const logger = getLogger(["covey", "network"]);

/** The host's own resolvers are asked for all other names. */
const HOST_CONFIG = "/etc/resolv.conf";

/** What keeps the networks, and connects with nodes that they do not reach. */
export interface OpenNetworks {
  keeper: NetworkKeeper;
  relay: RelayService;
  drains: Drains;
}

/**
 * The networks of the node `nodeID` as an earlier agent left them, with the answers to questions for names; undefined where the
 * launcher let the agent have none.
 */
export async function openNetworks(
  options: AgentOptionsFromFlags,
  folder: StateFolder,
  nodeID: string,
  tasks: () => Iterable<Task>,
): Promise<OpenNetworks | undefined> {
  if (options.networkHelper === "none") return undefined;
  const names = new NameService(nodeID, tasks, () => keeper, options.docker === "none");
  const helper = networkHelper(nodeID, systemClock, options.networkHelper);
  const relay = new RelayService(tasks, helper, () => keeper);
  const drains = new Drains({
    clock: systemClock,
    loaded: (signal) => keeper.loaded(signal),
    task: (id) => [...tasks()].find(({ ID }) => ID === id),
  });
  const keeper: NetworkKeeper = new NetworkKeeper({
    nodeID,
    helper,
    clock: systemClock,
    dataPath: options.dataPath,
    tasks,
    storage: { load: () => folder.networks(), save: (text) => folder.saveNetworks(text) },
    onUse: (isUsed) => names.use(isUsed),
    onRelay: (isUsed) => relay.use(isUsed),
    drained: (taskID, signal) => drains.drained(taskID, signal),
  });
  await keeper.load();
  return { keeper, relay, drains };
}

/** The resolver, while the node has networks; its code is not loaded before. */
class NameService {
  readonly #nodeID: string;
  readonly #tasks: TasksHere;
  readonly #keeper: () => NetworkKeeper;
  readonly #byTCP: boolean;
  #resolver: Resolver | undefined;
  #work: Promise<void> = Promise.resolve();

  constructor(nodeID: string, tasks: TasksHere, keeper: () => NetworkKeeper, byTCP: boolean) {
    this.#nodeID = nodeID;
    this.#tasks = tasks;
    this.#keeper = keeper;
    this.#byTCP = byTCP;
  }

  use(isUsed: boolean): void {
    this.#work = this.#work.then(() => isUsed ? this.#open() : this.#close()).catch((thrown) => {
      logger.warn("Cannot answer questions for names: {message}", {
        message: CoveyError.from(thrown).message,
      });
    });
  }

  async #open(): Promise<void> {
    const { Resolver } = await import("../network/resolver.ts");
    const resolver = new Resolver({
      nodeID: this.#nodeID,
      told: this.#keeper().told,
      tasks: this.#tasks,
      askers: this.#keeper().askers,
      clock: systemClock,
      random: systemRandom,
      byTCP: this.#byTCP,
      hostConfig: () => Deno.readTextFile(HOST_CONFIG),
    });
    await resolver.open();
    this.#resolver = resolver;
  }

  #close(): void {
    this.#resolver?.close();
    this.#resolver = undefined;
  }
}
