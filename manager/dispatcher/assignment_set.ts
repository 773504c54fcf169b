/** What one node has been told to run, and what it has yet to be told. Pure. */
import { isDeepStrictEqual } from "node:util";
import {
  type AssignmentChange,
  type AssignmentKind,
  LOADED_RULES,
  SEALED_SECRETS,
} from "../../api/dispatcher.ts";
import type { Config, DependencyKind, Seal, Secret } from "../../api/dependency.ts";
import {
  type AssignedNetwork,
  type AssignedPeer,
  type AssignedService,
  networkServiceID,
  peerID,
} from "../../api/network_assignment.ts";
import { compareStates, isTerminal } from "../../api/task_state.ts";
import type { Task } from "../../api/task.ts";
import { type DependencyName, DependencyUsers, neededBy } from "./dependency_users.ts";
import type { Place } from "./network_map.ts";
import type { ServicePlace } from "./service_map.ts";

/** Bytes of changes in one message, unless a single one is larger, as a config may be: a frame of 4 MiB holds either. */
const MAX_MESSAGE_BYTES = 2 * 1024 * 1024;
/** Bytes of a UTF-16 unit of JSON at most, in UTF-8; numbers take no more. */
const BYTES_PER_UNIT = 3;

/** Specs and annotations are shared by tasks and never change. */
const unitsOf = new WeakMap<object, number>();

/** Bytes of a task at most. */
function taskBytes({ Spec, ServiceAnnotations, ...rest }: Task): number {
  return (units(Spec) + units(ServiceAnnotations) + JSON.stringify(rest).length) * BYTES_PER_UNIT;
}

function units(part: object): number {
  let known = unitsOf.get(part);
  if (known === undefined) unitsOf.set(part, known = JSON.stringify(part).length);
  return known;
}

/** True for tasks that belong to a node's set: assigned or later, and not given up as orphaned. */
function isAssigned(task: Task): boolean {
  return compareStates(task.Status.State, "assigned") >= 0 && task.Status.State !== "orphaned";
}

/** Where that comes from which tasks need. */
export interface AssignmentSource {
  /** Kinds that the agent knows. */
  kinds: readonly string[];
  find(kind: DependencyKind, id: string): Secret | Config | undefined;
  network(id: string): AssignedNetwork | undefined;
  /** The other nodes that are in a network. */
  peers(id: string): Iterable<string>;
  peer(place: Place): AssignedPeer | undefined;
  /** What opens a sealed secret on the node. */
  seal(secretID: string): Seal | undefined;
  /** The services that are in a network. */
  services(id: string): Iterable<string>;
  service(place: ServicePlace): AssignedService | undefined;
}

/** What is in a network: another node, or a service. */
type Member = Place | ServicePlace;
type MemberKind = "network_peer" | "network_service";

function memberKind(member: Member): MemberKind {
  return "NodeID" in member ? "network_peer" : "network_service";
}

function memberID(member: Member): string {
  return "NodeID" in member ? peerID(member) : networkServiceID(member);
}

/** Who else than a task needs a network: the node itself, which answers ports for tasks of others. */
const NODE = "node";

/** Keeps the newest version of every task of a node and the changes not taken yet, merged by task. */
export class AssignmentSet {
  readonly #known = new Map<string, Task>();
  readonly #pending = new Map<string, Pending>();
  readonly #users = new DependencyUsers();
  /** What is in each network that the agent has been told of, by its kind and ID. */
  readonly #told = new Map<string, Map<string, Member>>();
  readonly #source: AssignmentSource;

  /** Starts with the complete set, every task of it pending, each after what it needs. */
  constructor(tasks: Iterable<Task>, source: AssignmentSource) {
    this.#source = source;
    for (const task of tasks) this.update(task);
  }

  /** Changes not taken yet. */
  get pending(): number {
    return this.#pending.size;
  }

  /**
   * Notes the newest version of a task of this node. What the agent reported itself (status) is no change for it, so that
   * its reports are not echoed. A task that has ended needs nothing any more.
   */
  update(task: Task): void {
    if (!isAssigned(task)) return this.remove(task.ID);
    const known = this.#known.get(task.ID);
    this.#known.set(task.ID, task);
    const ended = isTerminal(task.Status.State);
    const { added, gone } = known && !ended && known.Spec !== task.Spec
      ? this.#users.change(task.ID, neededBy(task))
      : { added: ended ? [] : this.#users.add(task.ID, neededBy(task)), gone: [] };
    this.#note("update", added);
    if (!known || this.#pending.has(task.ID) || !sameForAgent(known, task)) {
      // Behind what was noted for it just now, also where it was to be removed.
      if (!known) this.#pending.delete(task.ID);
      this.#pending.set(task.ID, { Action: "update", Kind: "task", Task: task });
    }
    this.#note("remove", ended ? this.#users.release(task.ID) : gone);
  }

  /** Notes that a task left this node's set. */
  remove(id: string): void {
    if (!this.#known.delete(id)) return;
    this.#pending.set(id, { Action: "remove", Kind: "task", ID: id });
    this.#note("remove", this.#users.release(id));
  }

  /** Notes the networks that the node itself is in. */
  attach(networks: readonly string[]): void {
    const { added, gone } = this.#users.change(NODE, networks.map((ID) => ({ Kind: "network", ID })));
    this.#note("update", added);
    this.#note("remove", gone);
  }

  /** True if something of networks waits to be told. */
  get hasNetworks(): boolean {
    return this.#pending.values().some(({ Kind }) => Kind === "network");
  }

  /** Notes that something of a network changed, or of what is in it: where nothing needs it, nobody is told, which is false. */
  networkChanged(ID: string, member?: Member): boolean {
    if (!this.knows(member === undefined ? "network" : memberKind(member))) return false;
    if (!this.#users.has({ Kind: "network", ID })) return false;
    const pending: PendingThing = member === undefined
      ? { Action: "update", Kind: "network", ID }
      : { Action: "update", Kind: memberKind(member), Member: member };
    const key = pendingKey(pending);
    if (!this.#pending.has(key)) this.#pending.set(key, pending);
    return true;
  }

  /** True for a kind that the agent named. */
  knows(kind: AssignmentKind | typeof LOADED_RULES): boolean {
    return this.#source.kinds.includes(kind);
  }

  /** What a node is told of a thing has changed. */
  refresh(thing: DependencyName): void {
    if (this.#users.has(thing)) this.#note("update", [thing]);
  }

  /** A thing's place is behind what was noted before: what goes, goes after its last user. */
  #note(Action: "update" | "remove", things: readonly DependencyName[]): void {
    for (const thing of things) {
      if (!this.knows(thing.Kind)) continue;
      this.#put({ Action, ...thing });
      if (thing.Kind === "network") this.#noteMembers(Action, thing.ID);
    }
  }

  /** They come after their network, and go with it. */
  #noteMembers(Action: "update" | "remove", NetworkID: string): void {
    const members = new Map(this.#told.get(NetworkID));
    const add = (member: Member) => members.set(`${memberKind(member)}/${memberID(member)}`, member);
    for (const NodeID of this.#source.peers(NetworkID)) add({ NetworkID, NodeID });
    for (const ServiceID of this.#source.services(NetworkID)) add({ NetworkID, ServiceID });
    for (const member of members.values()) {
      if (!this.knows(memberKind(member))) continue;
      const pending: PendingThing = { Action: "update", Kind: memberKind(member), Member: member };
      if (Action === "update") this.#put(pending);
      else this.#pending.delete(pendingKey(pending));
    }
  }

  #put(pending: PendingThing): void {
    const key = pendingKey(pending);
    this.#pending.delete(key);
    this.#pending.set(key, pending);
  }

  /** Takes up to `max` changes, oldest first, and no more than a message may have bytes. */
  take(max: number): AssignmentChange[] {
    const taken: AssignmentChange[] = [];
    let bytes = 0;
    for (const [key, pending] of this.#pending) {
      const change = this.#change(pending);
      bytes += change === undefined ? 0 : changeBytes(change);
      if (taken.length === max || (taken.length > 0 && bytes > MAX_MESSAGE_BYTES)) break;
      if (change !== undefined) taken.push(change);
      this.#pending.delete(key);
    }
    return taken;
  }

  /** Undefined for what was removed from the store meanwhile: the agent says of which task that is the end. */
  #change(pending: Pending): AssignmentChange | undefined {
    if ("Member" in pending) return this.#member(pending.Member);
    if (pending.Kind === "network" && pending.Action === "remove") this.#told.delete(pending.ID);
    if (pending.Action === "remove") return pending as AssignmentChange;
    if (pending.Kind === "task") return pending;
    if (pending.Kind === "network") {
      const Network = this.#source.network(pending.ID);
      return Network && { Action: "update", Kind: "network", Network };
    }
    const { Kind, ID } = pending, found = this.#source.find(Kind, ID);
    if (found === undefined) return undefined;
    const { Data, Templating, Sealed } = found.Spec;
    if (Sealed === undefined) {
      return { Action: "update", Kind, Payload: { ID, Data, ...(Templating && { Templating }) } };
    }
    if (!this.#source.kinds.includes(SEALED_SECRETS)) return undefined;
    const seal = this.#source.seal(ID);
    // One of an earlier sealing does not open this one.
    const { PublicKeyDigest, Wrapped } = seal?.SealID === Sealed.ID ? seal : {} as Partial<Seal>;
    const opens = PublicKeyDigest && Wrapped ? { PublicKeyDigest, Wrapped } : {};
    return { Action: "update", Kind, Payload: { ID, Data, Sealed: { ID: Sealed.ID, ...opens } } };
  }

  /** What is there of a member now; undefined for one that left before the agent heard of it. */
  #member(member: Member): AssignmentChange | undefined {
    const { NetworkID } = member, Kind = memberKind(member), ID = memberID(member), key = `${Kind}/${ID}`;
    if (!this.#users.has({ Kind: "network", ID: NetworkID })) return undefined;
    const told = this.#told.get(NetworkID) ?? new Map<string, Member>();
    const change = this.#memberUpdate(member);
    if (change !== undefined) {
      this.#told.set(NetworkID, told.set(key, member));
      return change;
    }
    return told.delete(key) ? { Action: "remove", Kind, ID } : undefined;
  }

  #memberUpdate(member: Member): AssignmentChange | undefined {
    if ("NodeID" in member) {
      const Peer = this.#source.peer(member);
      return Peer && { Action: "update", Kind: "network_peer", Peer };
    }
    const Service = this.#source.service(member);
    return Service && { Action: "update", Kind: "network_service", Service };
  }
}

/** A change that waits; what it is about besides a task is looked up when it goes out. */
type Pending = Extract<AssignmentChange, { Kind: "task" }> | PendingThing;
type PendingThing =
  | { Action: "update" | "remove"; Kind: DependencyName["Kind"]; ID: string }
  | { Action: "update"; Kind: MemberKind; Member: Member };

/** The same for all changes of one thing. */
function pendingKey(pending: PendingThing): string {
  return `${pending.Kind}/${"Member" in pending ? memberID(pending.Member) : pending.ID}`;
}

/** Bytes of a change at most; base64 has one for each character. */
function changeBytes(change: AssignmentChange): number {
  if (change.Action === "remove") return 0;
  if (change.Kind === "task") return taskBytes(change.Task);
  if ("Payload" in change) return change.Payload.Data.length;
  return JSON.stringify(change).length * BYTES_PER_UNIT;
}

function sameForAgent(a: Task, b: Task): boolean {
  return a.DesiredState === b.DesiredState &&
    same(a.Spec, b.Spec) &&
    same(a.Swap, b.Swap) &&
    same(a.ServiceAnnotations, b.ServiceAnnotations) &&
    same(a.AssignedGenericResources, b.AssignedGenericResources) &&
    same(a.Ports, b.Ports);
}

function same(a: unknown, b: unknown): boolean {
  return a === b || isDeepStrictEqual(a, b);
}
