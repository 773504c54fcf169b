/**
 * Nodes that were off for longer than their certificates: real manager nodes, in this process, with real TLS, disks and
 * quorum, and a clock that is handed in.
 */
import assert from "node:assert/strict";
import { type Clock, systemClock } from "../../api/clock.ts";
import { CoveyError, hasCode } from "../../api/errors.ts";
import { systemRandom } from "../../api/random.ts";
import { ManagerNode } from "../../manager/process/manager_node.ts";
import type { RunningManager } from "../../manager/server/running_manager.ts";
import {
  createCertificateRequest,
  createPrivateKeyPEM,
  IdentityStore,
  joinCluster,
  type NodeIdentity,
  readCertificate,
  RemoteCA,
  renewLate,
  systemFileSystem,
} from "../../security/mod.ts";
import { DAY_MS } from "../security/fixtures.ts";
import { eventually, freePort, inFolder } from "../support/programs.ts";

/** The machine's time, and as many days later as a test says. */
class LateClock implements Clock {
  days = 0;
  now = () => systemClock.now() + this.days * DAY_MS;
  monotonic = () => systemClock.monotonic();
  setTimer = (delayMs: number, run: () => void) => systemClock.setTimer(delayMs, run);
}

/** Managers that share a clock. */
class Managers {
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
      answer: () => new Response(null),
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
    return readCertificate(chain).subject.CN!;
  }
}

async function withNodes(test: (managers: Managers) => Promise<void>): Promise<void> {
  await inFolder(async (folder) => {
    const managers = new Managers(folder);
    try {
      await test(managers);
    } finally {
      await managers.stop();
    }
  });
}

function refused(code: CoveyError["code"], message: RegExp) {
  return (error: unknown) => {
    assert.ok(hasCode(error, code), String(error));
    assert.match(error.message, message);
    return true;
  };
}

Deno.test("Expired: a single manager past its certificate signs its own, and its nodes renew with their keys", () =>
  withNodes(async (managers) => {
    await managers.start("m1");
    const [device, late, gone] = [
      await managers.joinWorker(),
      await managers.joinWorker(),
      await managers.joinWorker(),
    ];
    const before = await managers.identity("m1");
    const recorded = () =>
      managers.manager("m1").store.get("nodes", before!.nodeID)?.Certificate?.PublicKeyDigest;
    assert.equal(recorded(), readCertificate(before!.certificatePEM).publicKeyDigest);
    await managers.stop();

    managers.clock.days = 100;
    await managers.start("m1");
    const after = await managers.identity("m1");
    assert.equal(after!.nodeID, before!.nodeID);
    assert.ok(after!.notAfter > managers.clock.now());
    assert.equal(recorded(), readCertificate(after!.certificatePEM).publicKeyDigest);
    assert.equal(await managers.renew(device), device.nodeID);
    const { store } = managers.manager("m1");
    await store.update((tx) => tx.delete("nodes", gone.nodeID));
    await assert.rejects(managers.renew(gone), refused("permission_denied", /the cluster has no node/));

    managers.clock.days = 271;
    await managers.stop();
    await managers.start("m1");
    await assert.rejects(
      managers.renew(late),
      refused("unauthenticated", /it could be renewed for 180 days; started with --join and a join token/),
    );
    const wrong = managers.tokens().Worker.slice(0, -3) + "000";
    await assert.rejects(
      managers.renew(late, wrong),
      refused("permission_denied", /180 days.*; with the join token: /),
    );
    assert.equal(await managers.renew(late, managers.tokens().Worker), late.nodeID);
    await assert.rejects(
      managers.renew(gone, managers.tokens().Worker),
      refused("not_found", /; with the join token: .* is not known under the key/),
    );
    assert.equal(managers.manager("m1").store.count("nodes"), 3);
  }));

Deno.test("Expired: a manager that nobody renews while it runs signs its own before its certificate ends", () =>
  withNodes(async (managers) => {
    await managers.start("m1");
    for (const name of ["m2", "m3"]) {
      await managers.start(name, { through: "m1", token: managers.tokens().Manager });
    }
    await managers.stop("m2", "m3");
    // Alone of three, it leads no more, and nobody issues certificates.
    managers.clock.days = 89;
    await managers.stop("m1");
    await managers.start("m1");
    await eventually(
      "m1 has signed its own",
      async () => (await managers.identity("m1"))!.notAfter > managers.clock.now() + 80 * DAY_MS,
    );
  }));

Deno.test("Expired: three managers that were all off for longer than their certificates form a quorum again", () =>
  withNodes(async (managers) => {
    await managers.start("m1");
    for (const name of ["m2", "m3"]) {
      await managers.start(name, { through: "m1", token: managers.tokens().Manager });
    }
    const device = await managers.joinWorker();
    await managers.stop();

    managers.clock.days = 100;
    const names = ["m1", "m2", "m3"];
    await Promise.all(names.map((name) => managers.start(name)));
    const leader = () => names.find((name) => managers.manager(name)?.consensus.status().isLeader);
    await eventually("one leads", () => Promise.resolve(leader() !== undefined));
    const { store } = managers.manager(leader()!);
    await store.update((tx) => {
      const node = tx.get("nodes", device.nodeID)!;
      tx.update("nodes", { ...node, Spec: { ...node.Spec, Labels: { late: "yes" } } });
    });
    for (const name of names) {
      const { store: copy } = managers.manager(name);
      await eventually(
        `${name} has what was written`,
        () => Promise.resolve(copy.get("nodes", device.nodeID)?.Spec.Labels.late === "yes"),
      );
    }
    const follower = names.find((name) => name !== leader())!;
    assert.equal(await managers.renew(device, undefined, follower), device.nodeID);
  }));

Deno.test("Expired: a manager that is made the only one by force serves its nodes, whatever its certificate says", () =>
  withNodes(async (managers) => {
    await managers.start("m1");
    await managers.start("m2", { through: "m1", token: managers.tokens().Manager });
    const device = await managers.joinWorker();
    await managers.stop();

    managers.clock.days = 100;
    const node = await managers.start("m1");
    await node.init({ ForceNewCluster: true });
    assert.equal(await managers.renew(device), device.nodeID);
  }));
