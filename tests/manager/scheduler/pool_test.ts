import assert from "node:assert/strict";
import fc from "fast-check";
import type { PlacementPreference } from "../../../api/service.ts";
import type { Task } from "../../../api/task.ts";
import { NodeInfo } from "../../../manager/scheduler/node_info.ts";
import { type Demand, type Placer, Pool } from "../../../manager/scheduler/pool.ts";
import { ServiceTasks } from "../../../manager/scheduler/service_tasks.ts";
import { testStore } from "../../support/store.ts";
import { makeNode } from "../orchestrator/harness.ts";

const by = (label: string): PlacementPreference => ({ Spread: { SpreadDescriptor: `node.labels.${label}` } });

/** Nodes, and the tasks that are placed on them. */
class World {
  readonly services = new ServiceTasks();
  readonly infos: NodeInfo[];
  readonly #store = testStore().store;
  #made = 0;

  constructor(labels: readonly Record<string, string>[]) {
    this.infos = labels.map((each, i) => {
      return new NodeInfo(makeNode(`n${i}`, { labels: each }), this.services, this.#store);
    });
  }

  put(service: string, info: NodeInfo): void {
    const task = {
      ID: `t${this.#made++}`,
      ServiceID: service,
      NodeID: info.node.ID,
      Spec: {},
      DesiredState: "running",
      Status: { State: "assigned" },
    };
    info.put(task as Task);
  }
}

interface Group {
  service: string;
  count: number;
  /** By node, beside what it takes itself. */
  room: number[];
  failures: number[];
}

/** The rank of the best node with room: the rule itself. */
function naive(world: World, group: Group, taken: Map<NodeInfo, number>): string {
  const open = world.infos.filter((info) => roomOf(world, group, info) > (taken.get(info) ?? 0));
  return open.length === 0 ? "nowhere" : ranked(world, group, open);
}

function rankOf(world: World, group: Group, info: NodeInfo): number[] {
  return [group.failures[world.infos.indexOf(info)]!, info.serviceTasks(group.service), info.total];
}

function ranked(world: World, group: Group, infos: NodeInfo[]): string {
  const ranks = infos.map((info) => rankOf(world, group, info));
  return ranks.sort((a, b) => a[0]! - b[0]! || a[1]! - b[1]! || a[2]! - b[2]!)[0]!.join();
}

function roomOf(world: World, group: Group, info: NodeInfo): number {
  return group.room[world.infos.indexOf(info)]!;
}

function demandOf(world: World, group: Group): Demand {
  const failing = world.infos.filter((_, i) => group.failures[i]! > 0);
  return {
    room: (info) => roomOf(world, group, info),
    serviceTasks: world.services.of(group.service),
    failures: new Map(failing.map((info) => [info, group.failures[world.infos.indexOf(info)]!])),
  };
}

function take(
  world: World,
  group: Group,
  placer: Placer,
  taken: Map<NodeInfo, number>,
): NodeInfo | undefined {
  const info = placer.next();
  if (info === undefined) return undefined;
  assert.ok(roomOf(world, group, info) > (taken.get(info) ?? 0), "no node takes more than it has room for");
  taken.set(info, (taken.get(info) ?? 0) + 1);
  return info;
}

const NODES = 9;
const perNode = <T>(each: fc.Arbitrary<T>) => fc.array(each, { minLength: NODES, maxLength: NODES });
const labels = perNode(fc.record({ zone: fc.constantFrom("a", "b", "c") }, { requiredKeys: [] }));
const groups = fc.array(
  fc.record<Group>({
    service: fc.constantFrom("s1", "s2", "s3"),
    count: fc.nat(30),
    room: perNode(fc.constantFrom(0, 1, 2, 6, Infinity)),
    failures: perNode(fc.constantFrom(0, 0, 0, 0, 5, 7)),
  }),
  { minLength: 1, maxLength: 6 },
);
const before = fc.array(fc.record({ service: fc.constantFrom("s1", "s4"), node: fc.nat(NODES - 1) }), {
  maxLength: 20,
});

Deno.test("Pool: each task of each group gets a node as good as the slow rule's (55, 59)", () => {
  fc.assert(
    fc.property(labels, before, groups, (labels, before, groups) => {
      const world = new World(labels);
      for (const { service, node } of before) world.put(service, world.infos[node]!);
      const pools = [new Pool(world.infos), new Pool(world.infos)];
      for (const [nth, group] of groups.entries()) {
        // Groups of different kinds have pools of their own, over the same nodes.
        const pool = pools[nth % pools.length]!;
        const taken = new Map<NodeInfo, number>(), placer = pool.place(demandOf(world, group));
        for (let i = 0; i < group.count; i++) {
          const best = naive(world, group, taken);
          const open = new Map(world.infos.map((info) => [info, rankOf(world, group, info).join()]));
          const info = take(world, group, placer, taken);
          assert.equal(info === undefined ? "nowhere" : open.get(info), best);
          if (info === undefined) break;
          world.put(group.service, info);
        }
        placer.finish();
      }
    }),
    { numRuns: 300 },
  );
});

Deno.test("Pool: a preference's fullest branch is never chosen while another has room (57)", () => {
  fc.assert(
    fc.property(labels, before, groups, (labels, before, groups) => {
      const world = new World(labels);
      for (const { service, node } of before) world.put(service, world.infos[node]!);
      const pool = new Pool(world.infos, [by("zone")]);
      for (const group of groups) {
        const taken = new Map<NodeInfo, number>(), placer = pool.place(demandOf(world, group));
        for (let i = 0; i < group.count; i++) {
          const branches = Map.groupBy(world.infos, (info) => info.node.Spec.Labels.zone ?? "");
          const open = [...branches.values()].filter((branch) =>
            branch.some((info) => roomOf(world, group, info) > (taken.get(info) ?? 0))
          );
          const tasks = (branch: NodeInfo[]) =>
            branch.reduce((sum, each) => sum + each.serviceTasks(group.service), 0);
          const least = Math.min(...open.map(tasks));
          const info = take(world, group, placer, taken);
          if (info === undefined) {
            assert.deepEqual(open, []);
            break;
          }
          const chosen = branches.get(info.node.Spec.Labels.zone ?? "")!;
          assert.equal(tasks(chosen), least);
          const inBranch = chosen.filter((each) =>
            roomOf(world, group, each) >= (taken.get(each) ?? 0) + (each === info ? 0 : 1)
          );
          assert.equal(rankOf(world, group, info).join(), ranked(world, group, inBranch));
          world.put(group.service, info);
        }
        placer.finish();
      }
    }),
    { numRuns: 300 },
  );
});

Deno.test("Pool: branches of two levels differ by one at most while they have room (57)", () => {
  const place = fc.record({ zone: fc.constantFrom("a", "b"), rack: fc.constantFrom("1", "2", "3") });
  fc.assert(fc.property(fc.array(place, { minLength: 1, maxLength: 12 }), fc.nat(60), (labels, count) => {
    const world = new World(labels);
    const placer = new Pool(world.infos, [by("zone"), by("rack")]).place({
      room: () => Infinity,
      serviceTasks: world.services.of("s"),
      failures: new Map(),
    });
    for (let i = 0; i < count; i++) world.put("s", placer.next()!);
    const sums = (infos: NodeInfo[], label: string) =>
      [...Map.groupBy(infos, (info) => info.node.Spec.Labels[label]!).values()]
        .map((branch) => branch.reduce((sum, info) => sum + info.serviceTasks("s"), 0));
    const isEven = (counts: number[]) => assert.ok(Math.max(...counts) - Math.min(...counts) <= 1);
    isEven(sums(world.infos, "zone"));
    for (const zone of Map.groupBy(world.infos, (info) => info.node.Spec.Labels.zone).values()) {
      isEven(sums(zone, "rack"));
    }
  }));
});
