/** A hub of assignments that follows a store, and agents that keep what they are told. */
import assert from "node:assert/strict";
import { ASSIGNMENT_KINDS, type AssignmentChange } from "../../../api/dispatcher.ts";
import { hasCode } from "../../../api/errors.ts";
import type { Network } from "../../../api/network.ts";
import {
  type AssignedPeer,
  type AssignedService,
  networkServiceID,
  peerID,
} from "../../../api/network_assignment.ts";
import type { Node } from "../../../api/node.ts";
import type { Service } from "../../../api/service.ts";
import type { Task } from "../../../api/task.ts";
import { isTerminal } from "../../../api/task_state.ts";
import type { Store } from "../../../manager/store/store.ts";
import { AssignmentHub } from "../../../manager/dispatcher/assignment_hub.ts";
import { FakeClock, settle } from "../../support/fake_clock.ts";
import { testStore } from "../../support/store.ts";
import { testNode, testTask } from "./harness.ts";

/** Most tests are about who is where, not about who serves. */
const KINDS = ASSIGNMENT_KINDS.filter((kind) => kind !== "network_service");

export function network(ID: string, VNI: number, over: Partial<Network> = {}): Network {
  return {
    ID,
    Version: { Index: 0 },
    CreatedAt: "",
    UpdatedAt: "",
    Spec: { Name: `the ${ID}`, Labels: {} },
    VNI,
    Subnets: [{ Subnet: `10.${VNI}.0.0/24`, Gateway: `10.${VNI}.0.1` }],
    ...over,
  };
}

export function node(ID: string, last: number, networks: string[] = []): Node {
  const Attachments = networks.map((NetworkID) => ({
    NetworkID,
    Addresses: [`10.${NetworkID.slice(3)}.0.${last + 200}/24`],
  }));
  return {
    ...testNode(ID),
    Status: { State: "ready", Addr: `192.0.2.${last}` },
    ...(networks.length > 0 && { Attachments }),
  };
}

export function task(
  ID: string,
  NodeID: string,
  last: number,
  networks: string[],
  change: Partial<Task> = {},
): Task {
  const NetworkAttachments = networks.map((NetworkID) => ({
    NetworkID,
    Addresses: [`10.${NetworkID.slice(3)}.0.${last}/24`],
  }));
  return testTask(ID, NodeID, { NetworkAttachments, ...change });
}

/** The agent of a node, as far as it keeps what it is told. */
export class Told {
  readonly log: string[] = [];
  readonly networks = new Map<string, unknown>();
  readonly peers = new Map<string, AssignedPeer>();
  readonly services = new Map<string, AssignedService>();
  readonly tasks = new Map<string, Task>();
  /** Of what it was asked to say when it has loaded it. */
  readonly asked: number[] = [];
  /** What programs the node. */
  passOn: (changes: readonly AssignmentChange[]) => void = () => {};

  take(changes: readonly AssignmentChange[]): void {
    for (const change of changes) {
      const id = change.Action === "remove"
        ? change.ID
        : change.Kind === "network"
        ? change.Network.ID
        : change.Kind === "network_peer"
        ? peerID(change.Peer)
        : change.Kind === "task"
        ? change.Task.ID
        : change.Kind === "network_service"
        ? networkServiceID(change.Service)
        : change.Payload.ID;
      this.log.push(`${change.Action} ${change.Kind} ${id}`);
      this.#apply(change);
    }
    this.passOn(changes);
  }

  #apply(change: AssignmentChange): void {
    if (change.Action === "remove") {
      if (change.Kind === "task") this.tasks.delete(change.ID);
      if (change.Kind === "network_peer") assert.ok(this.peers.delete(change.ID), `${change.ID} is no peer`);
      if (change.Kind === "network_service") {
        assert.ok(this.services.delete(change.ID), `${change.ID} is no service`);
      }
      if (change.Kind !== "network") return;
      for (const [id, { NetworkID }] of this.services) if (NetworkID === change.ID) this.services.delete(id);
      assert.ok(this.networks.delete(change.ID), `${change.ID} is no network here`);
      for (const [id, { NetworkID }] of this.peers) if (NetworkID === change.ID) this.peers.delete(id);
    } else if (change.Kind === "task") {
      // One that has ended needs nothing any more.
      const needed = isTerminal(change.Task.Status.State) ? [] : change.Task.NetworkAttachments ?? [];
      for (const { NetworkID } of needed) {
        assert.ok(this.networks.has(NetworkID), `task ${change.Task.ID} came before ${NetworkID}`);
      }
      this.tasks.set(change.Task.ID, change.Task);
    } else if (change.Kind === "network") this.networks.set(change.Network.ID, change.Network);
    else if (change.Kind === "network_peer") {
      assert.ok(this.networks.has(change.Peer.NetworkID), `${peerID(change.Peer)} came before its network`);
      this.peers.set(peerID(change.Peer), change.Peer);
    } else if (change.Kind === "network_service") {
      assert.ok(this.networks.has(change.Service.NetworkID), "a service came before its network");
      this.services.set(networkServiceID(change.Service), change.Service);
    }
  }
}

/** A hub that follows a store, and the agents of some nodes. */
export class Hub {
  readonly clock = new FakeClock();
  readonly store: Store;
  readonly hub: AssignmentHub;
  readonly agents = new Map<string, Told>();
  #open: { end(): void; done: Promise<void> }[] = [];
  readonly #unsubscribe: () => void;

  constructor() {
    this.store = testStore({ clock: this.clock }).store;
    this.hub = new AssignmentHub(this.store, this.clock);
    this.hub.start();
    this.#unsubscribe = this.store.subscribe((commit) => this.hub.apply(commit));
  }

  agent(nodeID: string, kinds: readonly string[] = KINDS): Told {
    const told = new Told(), stream = this.hub.open(nodeID, kinds);
    this.agents.set(nodeID, told);
    const done = (async () => {
      try {
        for await (const { Changes, Acknowledge, Index } of stream.messages()) {
          told.take(Changes);
          if (Acknowledge) told.asked.push(Index);
        }
      } catch (error) {
        if (!hasCode(error, "aborted")) throw error;
      }
    })();
    this.#open.push({ end: () => stream.end(), done });
    return told;
  }

  /** Has all that waits sent. */
  async sent(): Promise<void> {
    await settle();
    await this.clock.advance(1000);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#unsubscribe();
    for (const { end } of this.#open) end();
    await Promise.all(this.#open.map(({ done }) => done));
  }
}

/** The service of all tasks, with an address in some networks. */
export function service(networks: string[]): Service {
  const { ID: _, ...meta } = network("", 0);
  const VirtualIPs = networks.map((NetworkID) => ({ NetworkID, Addr: `10.${NetworkID.slice(3)}.0.250/24` }));
  return {
    ID: "service",
    Version: meta.Version,
    CreatedAt: "",
    UpdatedAt: "",
    Spec: {
      Name: "web",
      Labels: {},
      TaskTemplate: { ProcessSpec: { Command: "sleep" }, ForceUpdate: 0, Runtime: "process" },
      Mode: { Replicated: { Replicas: 1 } },
    },
    SpecVersion: { Index: 1 },
    ...(networks.length > 0 && { Endpoint: { Spec: {}, VirtualIPs } }),
  };
}
