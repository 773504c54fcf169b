/** A plan says what happens: each is made first, then its spec is submitted, and both are held against each other. */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { ServiceSpec } from "../../../api/service.ts";
import type { Task } from "../../../api/task.ts";
import { planService, type ServicePlan } from "../../../manager/control/service_plan.ts";
import { Fleet, makeService } from "../orchestrator/harness.ts";

const reserve = (cores: number) => ({ Resources: { Reservations: { NanoCPUs: cores * 1e9 } } });

function planned(fleet: Fleet, id: string, change: (spec: ServiceSpec) => ServiceSpec): ServicePlan {
  const service = fleet.service(id), index = fleet.store.index;
  const plan = planService(fleet.store, fleet, service, change(service.Spec));
  assert.equal(fleet.store.index, index, "a plan writes nothing");
  return plan;
}

/** Wanted tasks by place, and what is told of them. */
function byPlace(fleet: Fleet, id: string): Map<string, Task> {
  return new Map(fleet.wanted(id).map((task) => [String(task.Slot ?? task.NodeID), task]));
}

/** Plans a change, makes it, and compares what became of each place with what was planned. */
async function planAndDo(
  fleet: Fleet,
  id: string,
  change: (spec: ServiceSpec) => ServiceSpec,
): Promise<ServicePlan> {
  const plan = planned(fleet, id, change), before = byPlace(fleet, id);
  await fleet.update(id, change);
  await fleet.clock.advance(120_000);
  const after = byPlace(fleet, id);
  const seen: Record<string, string> = {};
  for (const place of new Set([...before.keys(), ...after.keys()])) {
    const [old, now] = [before.get(place), after.get(place)];
    if (old?.ID !== now?.ID) {
      seen[place] = old === undefined ? "start" : now === undefined ? "end" : "replace";
    }
  }
  const waiting = plan.Places.filter(({ Waits }) => Waits !== undefined);
  const due = plan.Places.filter(({ Waits, Change }) => Waits === undefined && Change !== "reload");
  assert.deepEqual(
    Object.entries(seen).sort(),
    due.map(({ Place, Change }) => [Place, Change]).sort(),
  );
  for (const { Place } of waiting) assert.equal(after.get(Place)?.ID, before.get(Place)?.ID, "it waits");
  return plan;
}

const template = (change: object) => (spec: ServiceSpec): ServiceSpec => ({
  ...spec,
  TaskTemplate: { ...spec.TaskTemplate, ...change },
});
const scaled = (Replicas: number) => (spec: ServiceSpec): ServiceSpec => ({
  ...spec,
  Mode: { Replicated: { Replicas } },
});
const v2 = template({ ProcessSpec: { Command: "run", Args: ["v2"] } });

Deno.test("Plan: says of each slot what an update then does to it", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const id = await fleet.replicated("web", 4);
  const changes: [(spec: ServiceSpec) => ServiceSpec, Partial<ServicePlan["Counts"]>][] = [
    [(spec) => ({ ...spec, Labels: { a: "b" } }), { keep: 4 }],
    [scaled(6), { keep: 4, start: 2 }],
    [v2, { replace: 6 }],
    [scaled(3), { keep: 3, end: 3 }],
    [template({ Placement: { Constraints: ["node.id==a"] } }), {}],
    [template({ ForceUpdate: 1 }), { replace: 3 }],
  ];
  for (const [change, expected] of changes) {
    const { Counts } = await planAndDo(fleet, id, change);
    for (const [key, count] of Object.entries(expected)) {
      assert.equal(Counts[key as keyof typeof Counts], count, `${key} of ${JSON.stringify(Counts)}`);
    }
  }
});

Deno.test("Plan: says of each node of a global service what happens there, and what waits", async () => {
  await using fleet = await Fleet.of(["a", "b", "c", "d"]);
  const id = await fleet.global("probe");
  await fleet.state("c", "down");
  await fleet.availability("d", "pause");
  const { Places } = await planAndDo(fleet, id, v2);
  assert.deepEqual(Places.map(({ Place, Waits }) => [Place, Waits]), [
    ["a", undefined],
    ["b", undefined],
    ["c", "the node is down"],
    ["d", "the node is paused"],
  ]);
  const left = await planAndDo(fleet, id, template({ Placement: { Constraints: ["node.id!=b"] } }));
  assert.deepEqual(left.Places.filter(({ Waits }) => !Waits).map(({ Place, Change }) => [Place, Change]), [
    ["b", "end"],
  ]);
});

Deno.test("Plan: names the devices that cannot run it as the scheduler would, with the old tasks out of the way", async () => {
  await using fleet = await Fleet.of([]);
  for (const [node, cores] of [["small", 1], ["large", 4]] as const) {
    await fleet.node(node, { resources: { NanoCPUs: cores * 1e9 } });
  }
  await fleet.node("away", { state: "down" });
  const id = await fleet.global("probe", { template: reserve(1) });
  const two = planned(fleet, id, template(reserve(3)));
  assert.deepEqual(two.Ineligible, {
    Count: 2,
    Nodes: [
      { NodeID: "small", Hostname: "small", Reason: "has too little free: cpu" },
      { NodeID: "away", Hostname: "away", Reason: "is down" },
    ],
  });
  // Beside the old one there is room for one of three cores, not of four.
  const startFirst = (spec: ServiceSpec): ServiceSpec => ({
    ...template(reserve(4))(spec),
    UpdateConfig: { Parallelism: 1, Order: "start-first" },
  });
  assert.equal(planned(fleet, id, template(reserve(4))).Ineligible.Count, 2);
  assert.equal(planned(fleet, id, startFirst).Ineligible.Count, 3);
});

Deno.test("Plan: of a service that does not exist, its tasks; what is refused when it is submitted is refused", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const { Spec } = makeService("new", { Replicated: { Replicas: 3 } });
  const plan = planService(fleet.store, fleet, undefined, Spec);
  assert.deepEqual([plan.Before, plan.Counts.start, plan.Ineligible.Count], [undefined, 3, 0]);
  const id = await fleet.replicated("web", 1);
  assert.throws(() => planService(fleet.store, fleet, undefined, fleet.service(id).Spec), {
    code: "already_exists",
  });
  assert.throws(() => planned(fleet, id, (spec) => ({ ...spec, Mode: { Global: {} } })), {
    message: /mode change/,
  });
  const uses = template({ ProcessSpec: { Command: "run", Env: ["A=${covey:unknown}"] } });
  const missing = (spec: ServiceSpec) =>
    template({
      ProcessSpec: {
        Command: "run",
        Secrets: [{ SecretID: "x", SecretName: "x", File: { Name: "x", UID: "0", GID: "0", Mode: 0 } }],
      },
    })(uses(spec));
  assert.throws(() => planned(fleet, id, missing), { code: "invalid_argument" });
});

Deno.test("Plan: any update of a job is another run, and ends what the last one has at work", async () => {
  await using fleet = await Fleet.of(["a", "b"]);
  const ReplicatedJob = { MaxConcurrent: 2, TotalCompletions: 5 };
  const id = await fleet.job("job", { ReplicatedJob }), onNodes = await fleet.job("jobs", { GlobalJob: {} });
  for (const each of [id, onNodes]) {
    const { Counts } = planned(fleet, each, (spec) => spec);
    assert.deepEqual(Counts, { start: 2, replace: 0, reload: 0, end: 2, keep: 0 });
  }
});

/** What somebody may do to a service, and what may happen to its devices meanwhile. */
const changes = fc.array(
  fc.oneof(
    fc.constantFrom("v1", "v2").map((version) => ({ version })),
    fc.nat(6).map((replicas) => ({ replicas })),
    fc.constantFrom("node.id!=a", "node.id==b", "node.id!=z").map((constraint) => ({ constraint })),
    fc.nat(2).map((cores) => ({ cores })),
    fc.constantFrom("down", "ready").map((state) => ({ node: "b", state } as const)),
    fc.constantFrom("pause", "drain", "active").map((availability) => ({ node: "c", availability } as const)),
  ),
  { minLength: 1, maxLength: 5 },
);

Deno.test("Plan: whatever is changed in whatever state, what happens then is what it said", async () => {
  await fc.assert(
    fc.asyncProperty(fc.boolean(), changes, async (isGlobal, list) => {
      await using fleet = await Fleet.of(["a", "b", "c"]);
      const options = { UpdateConfig: { Parallelism: 0 } };
      const id = isGlobal ? await fleet.global("s", options) : await fleet.replicated("s", 3, options);
      for (const each of list) {
        if ("state" in each) await fleet.state(each.node, each.state);
        else if ("availability" in each) await fleet.availability(each.node, each.availability);
        await fleet.clock.advance(120_000);
        if ("version" in each) {
          await planAndDo(fleet, id, template({ ProcessSpec: { Command: "run", Args: [each.version] } }));
        } else if ("replicas" in each && !isGlobal) await planAndDo(fleet, id, scaled(each.replicas));
        else if ("constraint" in each) {
          await planAndDo(fleet, id, template({ Placement: { Constraints: [each.constraint] } }));
        } else if ("cores" in each) await planAndDo(fleet, id, template(reserve(each.cores)));
      }
    }),
    { numRuns: 60 },
  );
});
