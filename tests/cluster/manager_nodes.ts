/** Real manager nodes, in this process, with real TLS, disks and quorum, and a clock that is handed in. */
import assert from "node:assert/strict";
import { type Clock, systemClock } from "../../api/clock.ts";
import { CoveyError, hasCode } from "../../api/errors.ts";
import { parseNodeDescription } from "../../api/validate/node_description.ts";
import { systemRandom } from "../../api/random.ts";
import { ManagerNode } from "../../manager/process/manager_node.ts";
import type { RunningManager } from "../../manager/server/running_manager.ts";
import {
  createCertificateRequest,
  createPrivateKeyPEM,
  IdentityStore,
  joinCluster,
  type NodeIdentity,
  readCertificates,
  RemoteCA,
  renewLate,
  systemFileSystem,
} from "../../security/mod.ts";
import { freePort, inFolder } from "../support/programs.ts";
import { DAY_MS } from "../security/fixtures.ts";

/** The machine's time, and as many days later as a test says. */
class LateClock implements Clock {
  days = 0;
  now = () => systemClock.now() + this.days * DAY_MS;
  monotonic = () => systemClock.monotonic();
  setTimer = (delayMs: number, run: () => void) => systemClock.setTimer(delayMs, run);
}

/** Managers that share a clock. */
export class Managers {
  readonly clock = new LateClock();
  readonly #folder: string;
  readonly #addresses = new Map<string, string>();
  readonly #running = new Map<string, ManagerNode>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  folder(name: string): string {
    return `${this.#folder}/${name}`;
  }

  address(name: string): string {
    let address = this.#addresses.get(name);
    if (!address) this.#addresses.set(name, address = `127.0.0.1:${freePort()}`);
    return address;
  }

  /** Starts a node as its process would; the first one founds the cluster. */
  async start(
    name: string,
    join: { through: string; token: string } | undefined = undefined,
  ): Promise<ManagerNode> {
    const address = this.address(name);
    const node = new ManagerNode({
      options: {
        stateDir: this.folder(name),
        listen: address,
        advertise: address,
        apiSocket: "",
        join: join ? [this.address(join.through)] : [],
        token: join?.token,
        idle: false,
        agent: false,
        hostname: name,
        labels: {},
        dockerSocket: undefined,
        exitWithParent: false,
        skip: { entries: [], records: [] },
      },
      clock: this.clock,
      random: systemRandom,
      answer: (request) => this.#takeDescription(name, request),
      agentLauncher: "",
      agentEnv: {},
      version: "0",
      hostname: () => "machine",
      interfaces: () => Deno.networkInterfaces(),
      lookUp: () => Promise.resolve([]),
      onFatal: (error) => {
        throw error;
      },
    });
    await Deno.mkdir(this.folder(name), { recursive: true });
    this.#running.set(name, node);
    await node.open();
    return node;
  }

  /** The one request that managers without agents send: what they say of themselves. */
  async #takeDescription(name: string, request: Request): Promise<Response> {
    const nodeID = new URL(request.url).pathname.split("/")[3]!, body = await request.json();
    await this.manager(name).store.update((tx) => {
      const node = tx.get("nodes", nodeID)!;
      tx.update("nodes", {
        ...node,
        Description: parseNodeDescription(body, "", []),
        Status: { ...node.Status, State: "ready" },
      });
    });
    return new Response(null);
  }

  runs(name: string): boolean {
    return this.#running.has(name);
  }

  manager(name: string): RunningManager {
    return this.#running.get(name)!.manager as RunningManager;
  }

  tokens() {
    return this.manager("m1").cluster.RootCA.JoinTokens;
  }

  async stop(...names: string[]): Promise<void> {
    for (const name of names.length > 0 ? names : [...this.#running.keys()]) {
      await this.#running.get(name)?.close();
      this.#running.delete(name);
    }
  }

  identity(name: string): Promise<NodeIdentity | undefined> {
    return new IdentityStore(systemFileSystem, this.folder(name)).load();
  }

  /** A certificate authority as a device sees it. */
  ca(name = "m1"): RemoteCA {
    return new RemoteCA({ addresses: () => [this.address(name)], clock: this.clock });
  }

  async joinWorker(): Promise<NodeIdentity> {
    const ca = this.ca();
    return await joinCluster({
      token: this.tokens().Worker,
      privateKeyPEM: await createPrivateKeyPEM(),
      clock: this.clock,
      getRootCA: (check) => ca.getRootCA(check),
      issueNodeCertificate: (request, root) => ca.issueNodeCertificate(request, root),
    });
  }

  /** Renews as an agent does. */
  async renew(identity: NodeIdentity, token?: string, through = "m1"): Promise<string> {
    const key = await createPrivateKeyPEM();
    const late = {
      ca: this.ca(through),
      clock: this.clock,
      identity,
      token,
      pendingKeyPEM: () => Promise.resolve(key),
    };
    const chain = await renewLate(late, await createCertificateRequest(key), new AbortController().signal);
    return readCertificates(chain)[0]!.subject.CN!;
  }
}

export async function withNodes(test: (managers: Managers) => Promise<void>): Promise<void> {
  await inFolder(async (folder) => {
    const managers = new Managers(folder);
    try {
      await test(managers);
    } finally {
      await managers.stop();
    }
  });
}

export function refused(code: CoveyError["code"], message: RegExp) {
  return (error: unknown) => {
    assert.ok(hasCode(error, code), String(error));
    assert.match(error.message, message);
    return true;
  };
}
