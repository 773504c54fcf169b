/**
 * Hands each commit's changes of tasks and networks to the streams of the nodes they concern: one store subscription for all
 * nodes.
 */
import { getLogger } from "@logtape/logtape";
import type { Clock } from "../../api/clock.ts";
import { sealID } from "../../api/dependency.ts";
import { CoveyError } from "../../api/errors.ts";
import type { AssignedBackend } from "../../api/network_assignment.ts";
import type { Node } from "../../api/node.ts";
import type { Task } from "../../api/task.ts";
import { type Change, type Commit, type Store, TABLE_OF } from "../store/mod.ts";
import { AssignmentStream } from "./assignment_stream.ts";
import { Drains } from "./drains.ts";
import { assignedNetwork, NetworkMap, type Place } from "./network_map.ts";
import { isLeaving, ServiceMap, type ServicePlace } from "./service_map.ts";

const logger = getLogger(["covey", "dispatcher"]);

/** The open assignment streams by node; the work per commit is the number of its changes. */
export class AssignmentHub {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #streams = new Map<string, AssignmentStream>();
  readonly #map = new NetworkMap();
  readonly #services = new ServiceMap();
  readonly #drains: Drains;

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
    this.#drains = new Drains(clock, {
      nodes: (id) => this.#map.nodes(id),
      isIn: (id, nodeID) => this.#map.has(id, nodeID),
      hasLoaded: (nodeID, index) => this.#hasLoaded(nodeID, index),
    });
  }

  /** Begins from the store's present state; {@linkcode apply} follows with each commit. */
  start(): void {
    this.#map.rebuild(this.#store);
    this.#services.rebuild(this.#store);
    // What the leader before has heard of is not known.
    for (const task of this.#store.all("tasks")) {
      if (isLeaving(task)) this.#drains.leaves(task.ID, this.#store.index);
    }
  }

  /** This manager leads no longer. */
  stop(reason: CoveyError): void {
    this.#drains.stop(reason);
  }

  /** A node says that it has loaded all that it was told up to consensus index `index`. */
  loaded(nodeID: string, index: number): void {
    this.#streams.get(nodeID)?.loaded(index);
    this.#drains.heard(nodeID);
  }

  /** See {@linkcode Drains.drained}. */
  async drained({ ID, NetworkAttachments = [] }: Task): Promise<void> {
    await this.#drains.drained(ID, NetworkAttachments.map(({ NetworkID }) => NetworkID));
  }

  /** Who is down is waited for no more than who says nothing of it at all. */
  #hasLoaded(nodeID: string, index: number): boolean {
    const node = this.#store.get("nodes", nodeID);
    if (node === undefined || node.Status.State === "down") return true;
    return this.#streams.get(nodeID)?.hasLoaded(index) ?? false;
  }

  /** Opens the stream of a node whose agent knows `kinds`; an older one of the same node ends with `aborted`. */
  open(nodeID: string, kinds: readonly string[] = []): AssignmentStream {
    this.#streams.get(nodeID)?.end(
      new CoveyError("aborted", "Cannot go on with the assignments: the node opened another stream"),
    );
    const tasks = this.#store.find("tasks", "nodeID", nodeID);
    const store = this.#store, map = this.#map, services = this.#services;
    const stream = new AssignmentStream(this.#clock, tasks, store.index, {
      kinds,
      find: (kind, id) => store.get(TABLE_OF[kind], id),
      network: (id) => assignedNetwork(store, id, nodeID),
      peers: (id) => [...map.nodes(id)].filter((each) => each !== nodeID),
      peer: (place) => map.peer(store, place, nodeID),
      services: (id) => services.services(id),
      service: (place) => services.assigned(store, place),
      seal: (secretID) => store.get("seals", sealID(secretID, nodeID)),
    });
    stream.attach(networksOf(store.get("nodes", nodeID)));
    if (stream.hasNetworks) stream.askLoaded(store.index);
    this.#streams.set(nodeID, stream);
    this.#drains.changed(nodeID);
    return stream;
  }

  /** Who serves at an address of a network. */
  backend(networkID: string, address: string): AssignedBackend | undefined {
    return this.#services.backend(networkID, address);
  }

  /** Forgets a stream that has ended. */
  close(nodeID: string, stream: AssignmentStream): void {
    stream.end();
    if (this.#streams.get(nodeID) === stream) this.#streams.delete(nodeID);
  }

  /** Notes a commit. */
  apply(commit: Commit): void {
    const touched = new Map<string, AssignmentStream>();
    for (const change of commit.changes) {
      if (change.table === "nodes") this.#applyNode(touched, change);
      if (change.table === "services") {
        const service = change.action === "remove" ? undefined : change.object;
        this.#tellOfServices(touched, this.#services.service(service, change.old));
      }
      if (change.table === "seals" && change.action !== "remove") {
        const { NodeID, SecretID } = change.object;
        this.#feed(touched, NodeID, (stream) => stream.refreshSecret(SecretID));
      }
      if (change.table !== "tasks") continue;
      const { object: task, old } = change, now = change.action === "remove" ? undefined : task;
      const leaves = now !== undefined && isLeaving(now);
      if (!leaves) this.#drains.forget(task.ID);
      else if (!old || !isLeaving(old)) this.#drains.leaves(task.ID, commit.index);
      // Before the task itself: where it is told to stop, its service goes on without it first.
      this.#tellOfServices(touched, this.#services.task(now, old), leaves ? commit.index : undefined);
      if (old && old.NodeID !== task.NodeID) this.#feed(touched, old.NodeID, (left) => left.remove(task.ID));
      this.#feed(touched, task.NodeID, (stream) => {
        if (change.action === "remove") stream.remove(task.ID);
        else stream.update(task);
      });
      const places = this.#map.task(now, old);
      this.#tellPeers(touched, places);
      for (const { NodeID } of places) this.#drains.changed(NodeID);
    }
    for (const nodeID of touched.keys()) {
      this.#feed(touched, nodeID, (stream) => stream.committed(commit.index));
    }
  }

  #applyNode(
    touched: Map<string, AssignmentStream>,
    { action, object: node, old }: Extract<Change, { table: "nodes" }>,
  ): void {
    const now = action === "remove" ? undefined : node, places = this.#map.node(now, old);
    this.#tellOfServices(touched, this.#services.node(now, old));
    this.#drains.changed(node.ID);
    if (places.length === 0) return;
    this.#feed(touched, node.ID, (stream) => {
      stream.attach(networksOf(node));
      for (const { NetworkID } of places) stream.networkChanged(NetworkID);
    });
    this.#tellPeers(touched, places);
  }

  /** Tells the nodes of a network where somebody came or went; they are told once, however often they are asked to. */
  #tellPeers(touched: Map<string, AssignmentStream>, places: readonly Place[]): void {
    for (const { NetworkID, NodeID } of places) {
      for (const other of this.#map.nodes(NetworkID)) {
        if (other === NodeID) continue;
        this.#feed(touched, other, (stream) => stream.networkChanged(NetworkID, { NetworkID, NodeID }));
      }
    }
  }

  /** Tells all nodes of a network what became of a service in it; `ask`: they are to say when they have loaded that. */
  #tellOfServices(
    touched: Map<string, AssignmentStream>,
    places: readonly ServicePlace[],
    ask?: number,
  ): void {
    for (const place of places) {
      for (const nodeID of this.#map.nodes(place.NetworkID)) {
        this.#feed(touched, nodeID, (stream) => {
          if (stream.networkChanged(place.NetworkID, place) && ask !== undefined) stream.askLoaded(ask);
        });
      }
    }
  }

  /** A stream that cannot be fed ends: the agent opens another one, which begins with everything. */
  #feed(
    touched: Map<string, AssignmentStream>,
    nodeID: string,
    feed: (stream: AssignmentStream) => void,
  ): void {
    const stream = this.#streams.get(nodeID);
    if (stream === undefined) return;
    touched.set(nodeID, stream);
    try {
      feed(stream);
    } catch (error) {
      logger.error("Cannot tell node {nodeID} of its tasks: {error}", { nodeID, error });
      stream.end(new CoveyError("internal", "Cannot go on with the assignments: a change could not be told"));
      this.#streams.delete(nodeID);
    }
  }
}

function networksOf(node: Node | undefined): string[] {
  return node?.Attachments?.map(({ NetworkID }) => NetworkID) ?? [];
}
