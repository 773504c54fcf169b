/** What a service waits for on its nodes: refused where it can never come. */
import assert from "node:assert/strict";
import type { ServiceSpec } from "../../../api/service.ts";
import { CoveyError } from "../../../api/errors.ts";
import { parseServiceSpec } from "../../../api/validate/mod.ts";
import { createService, updateService } from "../../../manager/control/services.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { testStore } from "../../support/store.ts";
import { seededRandom } from "../dispatcher/harness.ts";

type Waits = [service: string, condition?: string][];

function body(Name: string, waits: Waits = [], more: object = {}): unknown {
  const DependsOn = waits.map(([Service, Condition]) => ({ Service, ...(Condition && { Condition }) }));
  const TaskTemplate = { Runtime: "process", ProcessSpec: { Command: "/bin/run" }, DependsOn };
  return { Name, TaskTemplate, Mode: { Global: {} }, ...more };
}

const spec = (...[name, waits, more]: Parameters<typeof body>) => parseServiceSpec(body(name, waits, more));

function problemsOf(thrown: unknown): string[] {
  assert.ok(thrown instanceof CoveyError);
  assert.equal(thrown.code, "invalid_argument");
  return thrown.problems!.map(({ field, message }) => `${field}: ${message}`);
}

async function refused(promise: () => Promise<unknown> | unknown): Promise<string[]> {
  try {
    await promise();
  } catch (thrown) {
    return problemsOf(thrown);
  }
  assert.fail("it was taken");
}

function control() {
  const clock = new FakeClock(), { store } = testStore({ clock }), random = seededRandom();
  const create = (of: ServiceSpec) => createService(store, { clock, random }, of);
  const update = (id: string, of: ServiceSpec) =>
    updateService(store, clock, id, store.get("services", id)!.Version.Index, of);
  return { store, create, update };
}

Deno.test("Start order: what one spec says by itself is refused with all its problems at once", async () => {
  assert.deepEqual(
    await refused(() => spec("web", [["Web"], ["db"], ["DB", "service_healthy"], ["x", "service_fine"]])),
    ['TaskTemplate.DependsOn[3].Condition: must be one of service_started, service_healthy, service_completed_successfully: current value is "service_fine"']
      .concat([
        "TaskTemplate.DependsOn[0].Service: service web cannot wait for itself",
        "TaskTemplate.DependsOn[2].Service: service DB is waited for already",
      ]),
  );
  assert.deepEqual(
    await refused(() => spec("web", [], { Labels: { "covey.depends-on": "db=soon, web" } })),
    [
      'Labels.covey.depends-on: cannot be read: want NAME=service_started|service_healthy|service_completed_successfully, not "db=soon"',
      "Labels.covey.depends-on: service web cannot wait for itself",
    ],
  );
});

Deno.test("Start order: a client that does not know the member does not lose it, and an empty list removes it", () => {
  const current = spec("web", [["db", "service_healthy"], ["cache"]]);
  assert.deepEqual(current.TaskTemplate.DependsOn, [
    { Service: "db", Condition: "service_healthy" },
    { Service: "cache", Condition: "service_started" },
  ]);
  const { DependsOn: _, ...known } = current.TaskTemplate;
  const kept = parseServiceSpec({ ...current, TaskTemplate: known }, { current });
  assert.deepEqual(kept.TaskTemplate.DependsOn, current.TaskTemplate.DependsOn);
  const without = parseServiceSpec({ ...current, TaskTemplate: { ...known, DependsOn: [] } }, { current });
  assert.equal(without.TaskTemplate.DependsOn, undefined);
});

Deno.test("Start order: unknown services, those that never complete, and circles are refused by field and name", async () => {
  const { create, update } = control();
  const db = await create(spec("db"));
  await create(spec("job", [], { Mode: { GlobalJob: {} } }));
  const cache = await create(spec("cache", [["db"]]));
  assert.deepEqual(await refused(() => create(spec("web", [["nothing"], ["cache"], ["sb"]]))), [
    "TaskTemplate.DependsOn[0].Service: service nothing not found",
    "TaskTemplate.DependsOn[2].Service: service sb not found",
  ]);
  const completed = "service_completed_successfully";
  assert.deepEqual(await refused(() => create(spec("web", [["db", completed], ["job", completed]]))), [
    "TaskTemplate.DependsOn[0].Condition: service db never completes: it is no job, and is run again whenever it ends",
  ]);
  await create(spec("web", [["Cache"], ["job", completed]]));

  const circle = "services wait for one another in a circle: db -> web -> Cache -> db";
  assert.deepEqual(await refused(() => update(db, spec("db", [["job"], ["web"]]))), [
    `TaskTemplate.DependsOn: ${circle}`,
  ]);
  const Labels = { "covey.depends-on": "web" };
  assert.deepEqual(await refused(() => update(db, spec("db", [], { Labels }))), [
    `Labels.covey.depends-on: ${circle}`,
  ]);
  // One that is no member of a circle does not stumble over it.
  await update(cache, spec("cache", []));
  await update(db, spec("db", [["web"]]));
});

Deno.test("Start order: the services of one stack are made in any order, others first", async () => {
  const { create } = control();
  const Labels = { "com.docker.stack.namespace": "shop", "covey.depends-on": "shop_db" };
  await create(spec("shop_web", [], { Labels }));
  assert.deepEqual(
    await refused(() => create(spec("shop_x", [], { Labels: { ...Labels, "covey.depends-on": "db" } }))),
    ["Labels.covey.depends-on: service db not found"],
  );
  assert.match(
    (await refused(() =>
      create(spec("shop_db", [], { Labels: { ...Labels, "covey.depends-on": "shop_web" } }))
    ))[0]!,
    /in a circle: shop_db -> shop_web -> shop_db/,
  );
});
