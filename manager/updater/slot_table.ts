/** The places of one service as its rollout sees them, kept up to date place by place. */
import type { Rollout } from "../../api/rollout.ts";
import type { Service } from "../../api/service.ts";
import { slotKey, type Task } from "../../api/task.ts";
import type { ComponentOptions } from "../leader/commit_loop.ts";
import { budgetsOf, type Group, groupsOf } from "../placement/budget.ts";
import type { RestartSupervisor } from "../restart/restart_supervisor.ts";
import type { ReadView } from "../store/store.ts";
import type { Policy } from "./policy.ts";
import { type SlotFacts, slotFacts } from "./slot_facts.ts";
import { followed, interrupted, isSilent, type Look } from "./watch.ts";

const FNV_OFFSET = 0x811c_9dc5, FNV_PRIME = 0x0100_0193;

/** What is known of each place, worked out anew only where something changed. */
export class SlotTable {
  #facts: Map<string, SlotFacts> | undefined;
  #version = -1;
  readonly #interrupted = new Set<string>();
  readonly #touched = new Set<string>();
  /** Devices that are in groups and have no place, by the key that it would have. */
  readonly #absent = new Map<string, readonly Group[]>();
  /** Keys in order; undefined once a place has come or gone. */
  #order: string[] | undefined;
  #read: readonly SlotFacts[] | undefined;

  constructor(readonly options: ComponentOptions, readonly supervisor: RestartSupervisor) {}

  /** What is known of a place may not hold any more. */
  touch(key: string): void {
    this.#touched.add(key);
  }

  /** The device of a place fell silent, if only for a moment. */
  interrupt(key: string): void {
    this.#interrupted.add(key);
    this.touch(key);
  }

  /** All places in the order in which the rollout reaches them: with stages, not always the same devices first. */
  read(
    service: Service,
    rollout: Rollout,
    nowMs: number,
    policy: Policy,
    heardMs: Look["heardMs"],
  ): readonly SlotFacts[] {
    const { store } = this.options;
    const isFirst = this.#facts === undefined || this.#version !== rollout.Number;
    const stage = rollout.Ended ? undefined : rollout.Stage;
    const forgiven = new Set(rollout.Failures.filter((each) => each.Forgiven).map(({ Place }) => Place));
    const look: Look = { nowMs, monitorMs: policy.monitorMs, isFirst, stage, heardMs, forgiven };
    if (this.#facts === undefined || isFirst) {
      this.#version = rollout.Number;
      this.#facts = new Map();
      this.#order = this.#read = undefined;
      this.#absent.clear();
      for (const key of slotKeys(store, service)) this.#touched.add(key);
      if (budgetsOf(service.Spec).length > 0) {
        for (const { ID } of store.all("nodes")) {
          this.#touched.add(slotKey({ ServiceID: service.ID, NodeID: ID }));
        }
      }
    }
    const known = this.#facts;
    for (const [key, { first }] of known) {
      if (first !== undefined && isSilent(first, nowMs, policy.monitorMs)) this.touch(key);
    }
    if (this.#touched.size === 0 && this.#read) return this.#read;
    for (const key of this.#touched) {
      let before = known.get(key);
      const facts = readSlot(store, this.supervisor, service, rollout.Number, key, nowMs, before?.first?.id);
      if ((before !== undefined) !== (facts !== undefined)) this.#order = undefined;
      if (before && this.#interrupted.has(key)) before = interrupted(before, look);
      if (facts) known.set(key, followed(before, facts, look));
      else known.delete(key);
      this.#noteAbsent(service, key, facts);
    }
    this.#touched.clear();
    this.#interrupted.clear();
    this.#order ??= inOrder([...known.values()], rollout.Number, policy.stages.length > 1).map(({ key }) =>
      key
    );
    return this.#read = this.#order.map((key) => known.get(key)!);
  }

  /** The groups of each device that is in some, and has no place: a drained one is missing in its group, too. */
  get absent(): readonly (readonly Group[])[] {
    return [...this.#absent.values()];
  }

  /** The devices of each group, by its name. */
  members(): ReadonlyMap<string, string[]> {
    const members = new Map<string, string[]>();
    const add = (groups: readonly Group[], nodeID: string) => {
      for (const { name } of groups) {
        const ids = members.get(name);
        if (ids) ids.push(nodeID);
        else members.set(name, [nodeID]);
      }
    };
    for (const { groups, place } of this.#facts?.values() ?? []) add(groups, place);
    for (const [key, groups] of this.#absent) add(groups, nodeOf(key));
    return members;
  }

  #noteAbsent(service: Service, key: string, facts: SlotFacts | undefined): void {
    this.#absent.delete(key);
    if (facts !== undefined || budgetsOf(service.Spec).length === 0) return;
    const node = this.options.store.get("nodes", nodeOf(key));
    const groups = node && groupsOf(service.Spec, node);
    if (groups?.length) this.#absent.set(key, groups);
  }
}

function nodeOf(key: string): string {
  return key.slice(key.indexOf("/") + 1);
}

/** The same for who reads them once. */
export function readSlots(
  view: ReadView,
  supervisor: Pick<RestartSupervisor, "liveTasks">,
  service: Service,
  rollout: Rollout,
  nowMs: number,
): SlotFacts[] {
  return slotKeys(view, service).flatMap((key) =>
    readSlot(view, supervisor, service, rollout.Number, key, nowMs) ?? []
  );
}

function slotKeys(view: ReadView, service: Service): string[] {
  return [...new Set(view.find("tasks", "serviceID", service.ID).map((task: Task) => slotKey(task)))];
}

function readSlot(
  view: ReadView,
  supervisor: Pick<RestartSupervisor, "liveTasks">,
  service: Service,
  number: number,
  key: string,
  nowMs: number,
  judged?: string,
): SlotFacts | undefined {
  const tasks = view.find("tasks", "slot", key), live = supervisor.liveTasks(view, service, tasks);
  return slotFacts(view, service, number, { live, tasks, judged }, nowMs);
}

function inOrder(slots: SlotFacts[], number: number, shuffled: boolean): SlotFacts[] {
  if (!shuffled) return slots.sort((a, b) => Number(a.place) - Number(b.place) || 0);
  const ranks = new Map(slots.map((slot) => [slot, rank(`${number}/${slot.key}`)]));
  return slots.sort((a, b) => ranks.get(a)! - ranks.get(b)! || (a.key < b.key ? -1 : 1));
}

function rank(text: string): number {
  let hash = FNV_OFFSET;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), FNV_PRIME);
  // The last characters alone would only move it a little.
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}
