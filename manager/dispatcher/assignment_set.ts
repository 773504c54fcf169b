/** What one node has been told to run, and what it has yet to be told. Pure. */
import { isDeepStrictEqual } from "node:util";
import { type AssignmentChange, SEALED_SECRETS } from "../../api/dispatcher.ts";
import type { Config, DependencyKind, Seal, Secret } from "../../api/dependency.ts";
import { compareStates, isTerminal } from "../../api/task_state.ts";
import type { Task } from "../../api/task.ts";
import { dependencyKey, type DependencyName, DependencyUsers } from "./dependency_users.ts";

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

/** Where secrets and configs come from. */
export interface PayloadSource {
  /** Kinds that the agent knows. */
  kinds: readonly string[];
  find(kind: DependencyKind, id: string): Secret | Config | undefined;
  /** What opens a sealed secret on the node. */
  seal(secretID: string): Seal | undefined;
}

/** Keeps the newest version of every task of a node and the changes not taken yet, merged by task. */
export class AssignmentSet {
  readonly #known = new Map<string, Task>();
  readonly #pending = new Map<string, Pending>();
  readonly #users = new DependencyUsers();
  readonly #payloads: PayloadSource;

  /** Starts with the complete set, every task of it pending, each after what it needs. */
  constructor(tasks: Iterable<Task>, payloads: PayloadSource) {
    this.#payloads = payloads;
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
      ? this.#users.change(task)
      : { added: ended ? [] : this.#users.add(task), gone: [] };
    this.#note("update", added);
    if (!known || this.#pending.has(task.ID) || !sameForAgent(known, task)) {
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

  /** What a node is told of a thing has changed. */
  refresh(thing: DependencyName): void {
    if (this.#users.has(thing)) this.#note("update", [thing]);
  }

  /** A thing's place is behind what was noted before: what goes, goes after its last user. */
  #note(Action: Pending["Action"], things: readonly DependencyName[]): void {
    for (const thing of things) {
      if (!this.#payloads.kinds.includes(thing.Kind)) continue;
      const key = dependencyKey(thing);
      this.#pending.delete(key);
      this.#pending.set(key, { Action, ...thing });
    }
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
    if (pending.Action === "remove" || pending.Kind === "task") return pending;
    const { Action, Kind, ID } = pending, found = this.#payloads.find(Kind, ID);
    if (found === undefined) return undefined;
    const { Data, Templating, Sealed } = found.Spec;
    if (Sealed === undefined) {
      return { Action, Kind, Payload: { ID, Data, ...(Templating && { Templating }) } };
    }
    if (!this.#payloads.kinds.includes(SEALED_SECRETS)) return undefined;
    const seal = this.#payloads.seal(ID);
    // One of an earlier sealing does not open this one.
    const { PublicKeyDigest, Wrapped } = seal?.SealID === Sealed.ID ? seal : {} as Partial<Seal>;
    const opens = PublicKeyDigest && Wrapped ? { PublicKeyDigest, Wrapped } : {};
    return { Action, Kind, Payload: { ID, Data, Sealed: { ID: Sealed.ID, ...opens } } };
  }
}

/** A change that waits; what a secret or config holds is looked up when it goes out. */
type Pending =
  | Extract<AssignmentChange, { Kind: "task"; Action: "update" }>
  | Extract<AssignmentChange, { Action: "remove" }>
  | { Action: "update"; Kind: DependencyKind; ID: string };

/** Bytes of a change at most; base64 has one for each character. */
function changeBytes(change: AssignmentChange): number {
  if (change.Action === "remove") return 0;
  return change.Kind === "task" ? taskBytes(change.Task) : change.Payload.Data.length;
}

function sameForAgent(a: Task, b: Task): boolean {
  return a.DesiredState === b.DesiredState &&
    same(a.Spec, b.Spec) &&
    same(a.ServiceAnnotations, b.ServiceAnnotations) &&
    same(a.AssignedGenericResources, b.AssignedGenericResources) &&
    same(a.Ports, b.Ports);
}

function same(a: unknown, b: unknown): boolean {
  return a === b || isDeepStrictEqual(a, b);
}
