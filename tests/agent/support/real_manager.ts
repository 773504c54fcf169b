/** A manager that agents' processes can join: real TLS, CA and dispatcher over a store in memory. */
import type { ProcessSpec } from "../../../api/service.ts";
import { systemClock } from "../../../api/clock.ts";
import { systemRandom } from "../../../api/random.ts";
import type { Task } from "../../../api/task.ts";
import { CAServer } from "../../../manager/ca/ca_server.ts";
import { StoreCABackend } from "../../../manager/ca/store_backend.ts";
import { Dispatcher } from "../../../manager/dispatcher/mod.ts";
import { firstNode, newCluster } from "../../../manager/cluster/new_cluster.ts";
import { issueOwnIdentity } from "../../../manager/process/own_identity.ts";
import {
  createPrivateKeyPEM,
  type IdentityFiles,
  IdentityStore,
  systemFileSystem,
  verifyPeerChain,
} from "../../../security/mod.ts";
import { createRouter, type Listener, listenTLS, type Method } from "../../../transport/mod.ts";
import { testTask } from "../../manager/dispatcher/harness.ts";
import { testStore } from "../../support/store.ts";

const CONTEXT = { clock: systemClock, random: systemRandom };

export class RealManager {
  readonly store;
  readonly token: string;
  readonly #dispatcher: Dispatcher;
  readonly #listener: Listener;
  readonly #identity: IdentityFiles;

  private constructor(
    store: ReturnType<typeof testStore>["store"],
    dispatcher: Dispatcher,
    listener: Listener,
    identity: IdentityFiles,
  ) {
    this.#identity = identity;
    this.store = store;
    this.#dispatcher = dispatcher;
    this.#listener = listener;
    this.token = store.all("clusters")[0]!.RootCA.JoinTokens.Worker;
  }

  /** `advertise` is where it says that it is, as one behind a port forwarding cannot know better; `protocol` what it speaks. */
  static async start(advertise?: string, protocol?: number): Promise<RealManager> {
    const { store } = testStore({ clock: systemClock });
    const cluster = await newCluster("cluster", {}, CONTEXT);
    await store.update((tx) => {
      tx.create("clusters", cluster);
      tx.create("nodes", { ...firstNode("manager", "active"), CreatedAt: "", UpdatedAt: "" });
    });
    const { CACert } = cluster.RootCA;
    const identity = await issueOwnIdentity(cluster, "manager", await createPrivateKeyPEM(), CONTEXT);
    let address = "";
    const managers = () => [{ NodeID: "manager", Addr: advertise ?? address, Weight: 10 }];
    const dispatcher = new Dispatcher({
      store,
      ...CONTEXT,
      managers,
      rootCA: () => CACert,
      ...(protocol !== undefined && { protocol }),
    });
    await dispatcher.start();
    const router = createRouter();
    for (
      const { name, ...method } of new CAServer({ backend: new StoreCABackend(store), ...CONTEXT }).methods()
    ) {
      router.register(name, method as Method);
    }
    for (const [name, method] of Object.entries(dispatcher.methods())) router.register(name, method);
    const listener = await listenTLS({
      listen: "127.0.0.1:0",
      identity: () => ({
        certificatePEM: identity.certificateChainPEM,
        privateKeyPEM: identity.privateKeyPEM,
      }),
      verifyPeer: (chain) =>
        chain === undefined
          ? undefined
          : verifyPeerChain(chain, { roots: [CACert], now: Date.now(), clusterID: "cluster" }),
      router,
      clock: systemClock,
    });
    address = listener.address;
    return new RealManager(store, dispatcher, listener, identity);
  }

  /** Writes the manager's own identity as a manager's process keeps it. */
  async saveIdentity(folder: string): Promise<void> {
    await new IdentityStore(systemFileSystem, folder).save(this.#identity);
  }

  get address(): string {
    return this.#listener.address;
  }

  /** The node of the first agent that joined, once it is ready. */
  async readyNode(): Promise<string> {
    return await this.until(() => this.store.all("nodes").find((node) => node.Status.State === "ready")?.ID);
  }

  /** Assigns process tasks that run `command`. */
  async assign(nodeID: string, ids: string[], program: string[] | ProcessSpec): Promise<void> {
    const [Command = "", ...Args] = Array.isArray(program) ? program : [];
    const ProcessSpec = Array.isArray(program) ? { Command, Args } : program;
    const task = (id: string): Task =>
      testTask(id, nodeID, { Spec: { ProcessSpec, ForceUpdate: 0, Runtime: "process" } });
    await this.store.batch(ids, (tx, id) => tx.create("tasks", task(id)));
  }

  running(): number {
    return this.store.all("tasks").filter((task) => task.Status.State === "running").length;
  }

  /** Resolves with the first value of `read` that is neither undefined nor false. */
  until<T>(read: () => T | undefined | false): Promise<T> {
    return new Promise((resolve) => {
      const look = () => {
        const value = read();
        if (value === undefined || value === false) return;
        stop();
        resolve(value);
      };
      const stop = this.store.subscribe(look);
      look();
    });
  }

  async stop(): Promise<void> {
    this.#dispatcher.stop();
    await this.#listener.close();
  }
}
