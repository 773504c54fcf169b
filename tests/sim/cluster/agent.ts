/** A device: the production agent on a simulated network, store and clock, with pretended programs. */
import { Agent } from "../../../agent/agent.ts";
import { LocalState } from "../../../agent/local_state.ts";
import type { PeerIdentity } from "../../../transport/mod.ts";
import { executorOn, SimDevice } from "./device.ts";
import { Host } from "./host.ts";
import { SimKv } from "./kv.ts";
import type { SimNetwork } from "./network.ts";
import type { TaskChecker } from "./task_checker.ts";
import type { World } from "./world.ts";

/** One such device: it can be cut off, lose power, and start again on what it had stored. */
export class SimAgent {
  readonly host: Host;
  readonly device: SimDevice;
  readonly #world: World;
  readonly #network: SimNetwork;
  readonly #managers: readonly string[];
  readonly #kv: SimKv;

  /** `managers` are those it was told of at first, HOST:PORT. */
  constructor(
    readonly name: string,
    world: World,
    network: SimNetwork,
    tasks: TaskChecker,
    managers: readonly string[],
  ) {
    this.#world = world;
    this.#network = network;
    this.#managers = managers;
    this.host = new Host(name, world);
    this.device = new SimDevice(name, world, tasks);
    this.#kv = new SimKv(this.host);
    network.add(this.host);
  }

  async start(): Promise<void> {
    const { host, name } = this;
    this.#world.log.note(`${name} starts`);
    const life = host.boot();
    const clock = host.clock();
    const identity: PeerIdentity = {
      nodeID: name,
      clusterID: "cluster",
      role: "swarm-worker",
      certificatePEM: `certificate of ${name}`,
    };
    const state = await LocalState.load(this.#kv.open());
    if (life !== host.life) return;
    const agent = new Agent({
      state,
      clock,
      random: host.random(),
      managers: this.#managers,
      dialer: this.#network.dialer(host, identity, clock),
      executors: [executorOn(this.device, host)],
      bootID: this.device.bootID,
      facts: {
        Hostname: name,
        Platform: { OS: "linux", Architecture: "arm64" },
        Resources: { NanoCPUs: 4e9, MemoryBytes: 2 ** 30 },
        Version: "0",
        Labels: {},
      },
    });
    agent.start();
  }

  /** The agent dies; with the power, its programs too. */
  crash(powered: boolean): void {
    if (!this.host.running) return;
    this.#world.log.note(`${this.name} crashes${powered ? "" : ", no power"}`);
    this.host.crash(powered);
    this.#kv.crash();
    this.#network.crashed(this.host);
    if (!powered) this.device.powerOff();
  }
}
